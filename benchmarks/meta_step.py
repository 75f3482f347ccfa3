"""Time of one regression meta-step: 2 modes, 50 tasks, K = 5, 5 steps, second order, Adam.

The real learners at paper scale, tasks generated in the graph. Variants take turns, so that the
machine's drift hits all alike; each line is a median.

    python benchmarks/meta_step.py [--rounds=9] [--steps=50] [--variants film_factored maml]
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import tensorflow as tf

from data.regression import MIXTURES
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.regression.config import RegressionConfig, paper_settings
from mmaml_tf.regression.domain import RegressionDomain

MIXTURE = MIXTURES["regression_2mode"]


def domain(method: str, **settings) -> RegressionDomain:
    """The 2-mode domain at paper scale."""
    paper = paper_settings("regression_2mode", method, tuple(MIXTURE.mode_names))
    return RegressionDomain(RegressionConfig(**(paper | settings)), MIXTURE)


VARIANTS: dict[str, Callable[[], MetaLearner]] = {
    "film_factored": lambda: domain("mumomaml", inner_clip_norm=None).build_learner(),
    "film_materialised": lambda: domain(
        "mumomaml", inner_clip_norm=None, fast_weights="materialised"
    ).build_learner(),
    "film_factored_clipped": lambda: domain("mumomaml").build_learner(),
    "maml": lambda: domain("maml").build_learner(),
    "multi_maml": lambda: domain("multi_maml").build_learner(),
}


def compiled_steps(learner: MetaLearner) -> Callable[[int, int], float]:
    """(first iteration, number of iterations) -> the last loss, all in one call."""
    tasks = domain("maml")

    @tf.function
    def run(first: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        loss = tf.constant(0.0)
        for iteration in tf.range(first, first + number):
            loss = learner.train_step(tasks.training_tasks(iteration))["loss"]
        return loss

    return lambda first, number: float(run(tf.constant(first), tf.constant(number)))


def main() -> None:
    """Measures and prints one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--intra_op", type=int, default=1, help="0: TensorFlow's default")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.intra_op)
    runs, times = {}, {}
    for name in options.variants:
        runs[name] = compiled_steps(VARIANTS[name]())
        began = time.perf_counter()
        runs[name](0, 1)
        print(f"{name} first step: {time.perf_counter() - began:.1f} s", flush=True)
        times[name] = []
    for round_index in range(options.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run(1 + round_index * options.steps, options.steps)
            times[name].append((time.perf_counter() - began) / options.steps * 1e3)
    for name, values in times.items():
        print(f"{name}: {statistics.median(values):.1f} ms (fastest {min(values):.1f})")
    if {"film_factored", "film_materialised"} <= set(times):
        ratios = zip(times["film_factored"], times["film_materialised"], strict=True)
        print(f"factored / materialised: {statistics.median(a / b for a, b in ratios):.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"peak memory of the process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
