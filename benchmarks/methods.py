"""Time of a meta-step of every method, at paper scale, beside MAML's.

The methods take turns in one process, so that the machine's drift hits all alike; each line is a
median, and the median of its ratios to the first. Omniglot's images are random (the numbers do not
matter for the speed), so no data set is needed.

    python benchmarks/methods.py [--domain=omniglot] [--rounds=9] [--steps=50] [--methods maml anil]

`--domain` is a mixture of regression (regression_2mode: two modes, 50 tasks, K = 5) or omniglot. In
regression, MAML's fast weights are multiplied out, for it to be compared with methods whose can't
be factored. A method may have settings: `mumomaml:inner_clip_norm=None,fast_weights=factored`.
"""

import argparse
import ast
import functools
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import tensorflow as tf
from problems import omniglot, regression

from data.regression import MIXTURES
from mmaml_tf import methods
from mmaml_tf.few_shot.domain import FewShotDomain

DOMAINS: dict[str, tuple[Callable[..., FewShotDomain], str, str]] = {
    name: (
        functools.partial(regression, name=name),
        "regression",
        "maml:fast_weights=materialised",
    )
    for name in MIXTURES
} | {"omniglot": (omniglot, "classification", "maml")}


def parsed(text: str) -> tuple[str, dict[str, object]]:
    """A method and its settings."""
    method, _, rest = text.partition(":")
    settings = {}
    for name, _, value in (pair.partition("=") for pair in rest.split(",") if pair):
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    return method, settings


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
    make, kind, beside = DOMAINS[options.domain]
    has_modes = len(make("maml").config.mode_names) > 1
    own = [
        name
        for name, method in methods.of(kind).items()
        if name != "maml" and (has_modes or "modes" not in method.settings)
    ]
    names = list(dict.fromkeys([beside, *(options.methods or own)]))
    runs, times = {}, {name: [] for name in names}
    for name in names:
        method, settings = parsed(name)
        runs[name] = compiled_steps(make(method, **settings))
        began = time.perf_counter()
        runs[name](0, 1)
        print(f"{name} first step: {time.perf_counter() - began:.1f} s", flush=True)
    for round_index in range(options.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run(1 + round_index * options.steps, options.steps)
            times[name].append((time.perf_counter() - began) / options.steps * 1e3)
    for name, values in times.items():
        ratios = [own / other for own, other in zip(values, times[beside], strict=True)]
        print(f"{name}: {statistics.median(values):.2f} ms, {statistics.median(ratios):.2f} x")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"peak memory of the process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
