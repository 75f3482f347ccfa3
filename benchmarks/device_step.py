"""Meta-steps as `fit` makes them on this machine's device: the first call, and milliseconds each.

Every problem is a process of its own, started twice, since a compilation cache may serve the second
start. Images are random, so no data set is needed. On a GPU steps are compiled by XLA as without
any setting; --jit_compile does so on a CPU.

    python benchmarks/device_step.py [--problems regression-mumomaml omniglot-5way-maml ...]
        [--steps=200] [--rounds=5] [--jit_compile] [--flags="--xla_gpu_autotune_level=0"]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mmaml_tf.reporting.markdown import table

PROBLEMS = [
    *(f"regression-{method}" for method in ("maml", "mumomaml")),
    *(f"omniglot-{ways}way-{method}" for ways in (5, 20) for method in ("maml", "mumomaml")),
]


def domain_of(problem: str, jit_compile: bool | None):
    """A domain at paper scale: two modes of regression, or Omniglot with one shot."""
    from problems import omniglot, regression

    kind, *setting, method = problem.split("-")
    if kind == "regression":
        return regression(method, jit_compile=jit_compile)
    return omniglot(method, int(setting[0].removesuffix("way")), jit_compile=jit_compile)


def measure(problem: str, steps: int, rounds: int, jit_compile: bool | None) -> None:
    """A process: prints its device and path, the first call's seconds and the medians."""
    import keras
    import tensorflow as tf

    from mmaml_tf.devices import execution

    if not execution.has_gpu():
        tf.config.threading.set_intra_op_parallelism_threads(1)
    domain = domain_of(problem, jit_compile)
    learner = domain.build_learner()
    tasks = tf.data.Dataset.range(10**9).map(domain.training_tasks).prefetch(2)
    times: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: dict) -> None:
            float(logs["loss"])  # has arrived
            times.append(time.perf_counter() - self.began)

    first, rest = dict(steps_per_epoch=learner.steps_per_execution, epochs=1), dict(epochs=rounds)
    for lengths in (first, rest | dict(steps_per_epoch=steps)):
        learner.fit(tasks, verbose=0, callbacks=[Clock()], **lengths)
    print(f"{execution.described(learner)}|{times[0]:.1f}", end="|")
    print(f"{statistics.median(times[1:]) / steps * 1e3:.2f}")


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=PROBLEMS)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jit_compile", action="store_true", default=None)
    parser.add_argument("--flags", default="", help="added to XLA_FLAGS")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        measure(options.problems[0], options.steps, options.rounds, options.jit_compile)
        return
    flags = f"{os.environ.get('XLA_FLAGS', '')} {options.flags}"
    environment = os.environ | {"XLA_FLAGS": flags.strip(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    rows = []
    for problem in options.problems:
        starts = []
        for _ in range(2):
            command = [sys.executable, __file__, *sys.argv[1:], "--problems", problem, "--here"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            starts.append(done.stdout.splitlines()[-1].split("|"))
        (path, first, ms), (_, second, _) = starts
        rows.append([problem, path, first, second, ms])
        print(rows[-1], flush=True)
    print(table(["problem", "where", "first call, s", "second start, s", "ms per step"], rows))


if __name__ == "__main__":
    main()
