"""What two workers compute, and one process alone.

Run by itself, `python -m tests.pair_program FOLDER`, it is one of the two.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from data.omniglot import OmniglotTasks
from data.omniglot_characters import Characters
from flags.omniglot_config import OmniglotConfig, paper_settings
from mmaml_tf.classification.domain import ClassificationDomain
from mmaml_tf.devices import agreement, cluster
from mmaml_tf.devices.joined import joined
from mmaml_tf.devices.train_function import train_function
from mmaml_tf.rl.rollouts import Experience
from tests import rl_problem, runs
from tests.omniglot_runs import TINY as TINY_OMNIGLOT

STEPS = 5


def measured(workers):
    """First meta-gradients, and what a few steps of training make of the weights, by name."""
    return {
        **supervised("regression", runs.tiny_domain("multi_maml"), workers),
        **supervised("conv", conv_domain(), workers),
        **reinforced(rl_problem.tiny_domain("maml", meta_batch_size=4), workers),
    }


def conv_domain():
    """Images at random: what they show does not matter."""
    images = np.random.default_rng(0).integers(0, 256, (12, 20, 28, 28), np.uint8)
    chosen = paper_settings("mumomaml") | TINY_OMNIGLOT | dict(meta_batch_size=4)
    config = OmniglotConfig(**OmniglotConfig.for_method(chosen))
    tasks = OmniglotTasks(Characters(images, np.arange(12).astype(str)), 0, 5, 3, 3)
    return ClassificationDomain(config, tasks)


def supervised(name, domain, workers):
    learner = domain.build_learner()
    learner.workers = workers
    batch = workers.share(domain.training_tasks(tf.constant(0)))
    *_, gradients = learner.meta_gradients(batch)
    found = {f"{name} gradient": flat(tf.nest.flatten(workers.mean(gradients)))}
    found[f"{name} modes"] = batch.mode.numpy()
    # Adam's steps would hide the scale of a gradient, and so where it was clipped.
    learner.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
    learner.train_function = train_function(learner)
    tasks = tf.data.Dataset.range(STEPS).map(domain.training_tasks).map(workers.share)
    learner.fit(tasks, steps_per_epoch=STEPS, verbose=0)
    return found | {f"{name} weights": flat(learner.trainable_variables)}


def reinforced(domain, workers):
    learner = domain.build_learner()
    learner.workers = workers
    tasks = domain.training_tasks(0).share(workers.index, workers.count)
    fast, supports = learner.adapt(
        None, lambda fast: learner.act(tasks, fast, None), learner.learning_rates
    )
    experience = Experience(None, supports, learner.act(tasks, fast[-1], None))
    trpo = learner.meta_update
    _, gradient, _, fast = trpo.gradient(learner, experience)
    vector = tf.cast(np.random.default_rng(0).normal(size=gradient.shape), gradient.dtype)
    product = tf.function(lambda v: trpo.fisher(learner, experience, fast)(v), autograph=False)(
        vector
    )
    found = {"rl gradient": gradient.numpy(), "rl fisher product": product.numpy()}
    learner.train_function = train_function(learner)
    logs = learner.fit(tf.data.Dataset.range(1), shuffle=False, verbose=0).history
    found["rl returns"] = np.array([logs["return_before"], logs["return_after"]])
    return found | {"rl weights": flat(learner.trainable_variables)}


def flat(parts):
    return np.concatenate([np.ravel(part) for part in parts])


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    with joined(cluster.from_environment()) as joined_workers:
        assert joined_workers.gathered("ä" * joined_workers.index) == ["", "ä"]
        agreement.require_agreement(joined_workers, {"words": "equal"}, "")
        file = Path(sys.argv[1], f"{joined_workers.index}.npz")
        np.savez(file, **measured(joined_workers))
