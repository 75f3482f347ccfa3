"""Training with Keras's `fit`, from wherever the run folder left off."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.config import RunConfig
from mmaml_tf.devices import agreement, execution
from mmaml_tf.devices.cores import num_cores
from mmaml_tf.devices.train_function import train_function
from mmaml_tf.errors import RunError
from mmaml_tf.few_shot.config import FewShotConfig
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.tasks import TaskBatch, untuned
from mmaml_tf.training.best_checkpoint import BestCheckpoint
from mmaml_tf.training.callbacks import (
    KeepBest,
    MetricsCsv,
    Progress,
    SaveCheckpoints,
    StopOnNonFinite,
    Validation,
)
from mmaml_tf.training.checkpoints import Checkpoints
from mmaml_tf.training.provenance import RecordProvenance
from mmaml_tf.training.run_folder import RunFolder

SCHEDULES = {
    "cosine": keras.optimizers.schedules.CosineDecay,
    "linear": lambda rate, iterations: keras.optimizers.schedules.PolynomialDecay(
        rate, iterations, end_learning_rate=0.0
    ),
}


def compile_learner(learner: MetaLearner, config: FewShotConfig, steps_per_call: int = 1) -> None:
    """Gives a built learner its meta-optimizer, mostly Adam, with the configured schedule.

    theta and omega share it: Adam works elementwise, and their gradients are clipped apart.

    Args:
      learner: a built meta-learner.
      config: of the run.
      steps_per_call: meta-steps per call into TensorFlow, at most.
    """
    rate = config.meta_lr
    if config.lr_schedule != "constant":
        rate = SCHEDULES[config.lr_schedule](config.meta_lr, config.iterations)
    learner.compile(
        optimizer=learner.optimizer_class(rate),
        jit_compile="auto" if config.jit_compile is None else config.jit_compile,
        # A call must not run past the end of a logging interval.
        steps_per_execution=math.gcd(steps_per_call, config.log_every),
    )


def restore(learner: keras.Model, folder: RunFolder) -> int:
    """Restores a trained learner and returns the iteration it was saved at.

    That is the best checkpoint of a run with validation, and else the newest good one.

    Raises:
      RunError: if there is none, all are damaged, or they are of another network.
    """
    iteration = BestCheckpoint(folder.best_checkpoint, learner).restore()
    if iteration is None:
        iteration = Checkpoints(folder.checkpoints, learner, weights_only=True).restore()
    if iteration is None:
        raise RunError(f"{folder.path} holds no checkpoint: train first")
    return iteration


def train(
    learner: keras.Model,
    config: RunConfig,
    folder: RunFolder,
    sample: Callable[[tf.Tensor], TaskBatch | tf.Tensor],
    validation: Validation | None = None,
) -> None:
    """Trains to `config.iterations`, resuming if the folder has checkpoints.

    Args:
      learner: built and compiled.
      config: of the run.
      folder: claimed for this run.
      sample: iteration -> what its `train_step` gets: a batch of tasks, a pure function, so that
        a resumed run sees the tasks that an uninterrupted one would have seen.
      validation: done after every logging interval; keeps the best checkpoint for `restore`.

    Raises:
      NonFiniteLossError, InterruptedRunError: with everything saved that was good.
      RunError: if checkpoints are damaged beyond use.
    """
    workers = learner.workers
    checkpoints = Checkpoints(folder.checkpoints, learner)
    with workers.first_one_first():
        start = _restored(checkpoints, folder)
    if workers.count > 1:
        _require_same_start(learner, folder, start, sample)
        learner.train_function = train_function(learner)
    if workers.is_first:
        folder.metrics.truncate(start)
        folder.keep(config)
    if start >= config.iterations:
        print(f"already trained to iteration {start}")
        return
    if start > 0:
        print(f"resuming at iteration {start}")
    iterations = tf.data.Dataset.range(start, config.iterations)

    @tf.autograph.experimental.do_not_convert  # which takes seconds, and changes nothing
    def share(iteration: tf.Tensor) -> TaskBatch | tf.Tensor:
        return workers.share(sample(iteration))

    # A GPU's steps take less time than one thread needs to draw their tasks.
    drawn_at_once = num_cores() if execution.has_gpu() else None
    tasks = untuned(iterations.map(share, drawn_at_once).prefetch(2))
    first_interval = math.ceil(start / config.log_every)
    saver = SaveCheckpoints(checkpoints, config.checkpoint_every, workers)
    writers = []
    if workers.is_first:
        if validation is not None:
            writers.append(KeepBest(folder, learner, validation))
        writers += [
            Progress(config.iterations),
            MetricsCsv(folder),
            RecordProvenance(folder.provenance_file, workers.count),
            keras.callbacks.TensorBoard(str(folder.tensorboard), write_graph=False),
        ]
    try:
        with warnings.catch_warnings():
            # The last interval may be shorter than the others.
            warnings.filterwarnings("ignore", message=".*ran out of data")
            learner.fit(
                tasks,
                initial_epoch=first_interval,
                epochs=first_interval + math.ceil((config.iterations - start) / config.log_every),
                steps_per_epoch=config.log_every,
                verbose=0,
                shuffle=False,
                callbacks=[StopOnNonFinite(), *writers, saver],
            )
    finally:
        saver.restore_handlers()
    workers.wait()  # for what the first one wrote


def _restored(checkpoints: Checkpoints, folder: RunFolder) -> int:
    """The iteration at which training goes on: of the newest good checkpoint, or 0."""
    if checkpoints.learner.workers.is_first:
        checkpoints.remove_unfinished()
    start = checkpoints.restore()
    if start is None and folder.metrics.exists():
        raise RunError(
            f"{folder.path} was trained, but its checkpoints are gone: put them back, or "
            "--overwrite to start over"
        )
    return start or 0


def _require_same_start(
    learner: keras.Model, folder: RunFolder, start: int, sample: Callable[[tf.Tensor], Any]
) -> None:
    """Raises RunError unless all workers see one folder, its weights and the same data."""
    workers = learner.workers
    agreement.require_one_folder(workers, folder.holder())
    agreement.require_agreement(
        workers, {"iteration to start from": start}, "all must read the same checkpoints"
    )
    data = agreement.summary(sample(tf.constant(start, tf.int64)))
    agreement.require_agreement(workers, data, "give all the same data")
    state = [*learner.trainable_variables, *learner.optimizer.variables]
    agreement.require_agreement(
        workers,
        {"digest of the weights": agreement.digest(state)},
        "all need the same versions, on machines of a kind",
    )
