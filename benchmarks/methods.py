"""Time of a meta-step of every method, at paper scale, beside MAML's.

The methods take turns in one process, so that the machine's drift hits all alike; each line is a
median, and the median of its ratios to MAML with its fast weights multiplied out. Omniglot's
images are random (the numbers do not matter for the speed), so no data set is needed.

    python benchmarks/methods.py [--domain=omniglot] [--rounds=9] [--steps=50] [--methods maml anil]

`--domain` is a mixture of regression (regression_2mode: two modes, 50 tasks, K = 5) or omniglot.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import tensorflow as tf

from data.omniglot import OmniglotTasks
from data.omniglot_characters import Characters
from data.regression import MIXTURES
from flags import omniglot_config
from flags.omniglot_config import OmniglotConfig
from mmaml_tf import methods
from mmaml_tf.classification.domain import ClassificationDomain
from mmaml_tf.few_shot.domain import FewShotDomain
from mmaml_tf.regression import config as regression_config
from mmaml_tf.regression.config import RegressionConfig
from mmaml_tf.regression.domain import RegressionDomain

BESIDE = "maml"


def regression(name: str, method: str) -> FewShotDomain:
    """A mixture of function families, by its name."""
    mixture = MIXTURES[name]
    modes = tuple(mixture.mode_names)
    settings = regression_config.paper_settings(name, method, modes, mixture.settings)
    if method == BESIDE:
        settings |= dict(fast_weights="materialised")
    return RegressionDomain(RegressionConfig(**settings), mixture)


def omniglot(method: str) -> FewShotDomain:
    """5 ways, 1 shot, 32 tasks."""
    images = np.random.default_rng(0).integers(0, 256, (1623, 20, 28, 28), np.uint8)
    characters = Characters(images, np.arange(1623).astype(str))
    config = OmniglotConfig(**omniglot_config.paper_settings(method))
    tasks = OmniglotTasks(characters, 0, 1_100, 100, config.num_ways)
    return ClassificationDomain(config, tasks)


DOMAINS: dict[str, tuple[Callable[[str], FewShotDomain], str]] = {
    name: (functools.partial(regression, name), "regression") for name in MIXTURES
} | {"omniglot": (omniglot, "classification")}


def compiled_steps(domain: FewShotDomain) -> Callable[[int, int], float]:
    """(first iteration, number of iterations) -> the last loss, all in one call."""
    learner = domain.build_learner()

    @tf.function
    def run(first: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        loss = tf.constant(0.0)
        for iteration in tf.range(first, first + number):
            loss = learner.train_step(domain.training_tasks(iteration))["loss"]
        return loss

    return lambda first, number: float(
        run(tf.constant(first, tf.int64), tf.constant(number, tf.int64))
    )


def main() -> None:
    """Measures and prints a line per method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domain", choices=DOMAINS, default="regression_2mode")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--methods", nargs="+", help="all that the domain knows by default")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    make, kind = DOMAINS[options.domain]
    names = [BESIDE, *(name for name in options.methods or methods.of(kind) if name != BESIDE)]
    runs, times = {}, {name: [] for name in names}
    for name in names:
        runs[name] = compiled_steps(make(name))
        runs[name](0, 1)
    for round_index in range(options.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run(1 + round_index * options.steps, options.steps)
            times[name].append((time.perf_counter() - began) / options.steps * 1e3)
    for name, values in times.items():
        ratios = [own / other for own, other in zip(values, times[BESIDE], strict=True)]
        print(f"{name}: {statistics.median(values):.2f} ms, {statistics.median(ratios):.2f} x MAML")


if __name__ == "__main__":
    main()
