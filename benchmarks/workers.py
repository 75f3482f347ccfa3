"""Speed of two workers with a core each against one process with one, on the same meta-batches.

Each is a process of its own, pinned to its core; they take turns, so that the machine's drift hits
all alike, and an idle machine is needed. Lines are medians. Omniglot's images are random (the
numbers do not matter for the speed), so no data set is needed. RL sampling is the episodes of a
meta-iteration of cheetah_speed, without the meta-update.

    python benchmarks/workers.py [--rounds=5] [--problems omniglot regression sampling growth]

growth is of one process: milliseconds per task of a regression meta-step, from 50 tasks to 800.
"""

import argparse
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mmaml_tf.devices import cluster
from mmaml_tf.reporting.markdown import table
from tests.pairs import tf_configs

GROWTH = (50, 200, 800)
# Meta-steps per measurement.
STEPS = {"omniglot": 5, "regression": 10, "sampling": 1, "growth": 10}


def domain_of(problem: str, num_tasks: int):
    """FiLM on two modes, MAML on 5 ways and 1 shot, or MAML on cheetah_speed."""
    from problems import cheetah_speed, omniglot, regression

    film = functools.partial(regression, "mumomaml")
    makers = {
        "omniglot": functools.partial(omniglot, "maml"),
        "regression": film,
        "sampling": functools.partial(cheetah_speed, "maml"),
        "growth": film,
    }
    return makers[problem](meta_batch_size=num_tasks)


def supervised_step(domain, workers) -> Callable[[int], None]:
    """Meta-steps as `fit` makes them, tasks drawn beside them."""
    import tensorflow as tf

    from mmaml_tf.devices.train_function import train_function

    learner = domain.build_learner()
    learner.workers = workers
    learner.steps_per_execution = 1
    step = train_function(learner)
    tasks = tf.data.Dataset.range(10**9).map(domain.training_tasks).map(workers.share)
    batches = iter(tasks.prefetch(2))

    def run(number: int) -> None:
        for _ in range(number):
            float(step(batches)["loss"])

    return run


def sampling_step(domain, workers) -> Callable[[int], None]:
    """The episodes before and after the inner step."""
    learner = domain.build_learner()

    def run(number: int) -> None:
        for iteration in range(number):
            tasks = domain.training_tasks(iteration).share(workers.index, workers.count)
            learner.adapt_to(tasks, 1)

    return run


def work(problem: str, num_tasks: int) -> None:
    """A process: does as many steps as each line says, and answers with seconds."""
    import tensorflow as tf

    from mmaml_tf.devices.joined import joined

    tf.config.threading.set_intra_op_parallelism_threads(1)
    with joined(cluster.from_environment()) as workers:
        make = sampling_step if problem == "sampling" else supervised_step
        run = make(domain_of(problem, num_tasks), workers)
        print("ready", flush=True)
        for line in sys.stdin:
            began = time.perf_counter()
            run(int(line))
            print(f"seconds {time.perf_counter() - began}", flush=True)


class Team:
    """The processes that share a batch, seen from outside."""

    def __init__(self, problem: str, num_tasks: int, count: int):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < count:
            raise SystemExit(f"{count} workers need a core each, and there are {len(cores)}")
        self.steps = STEPS[problem]
        self.times: list[float] = []
        self.processes = []
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        for index, config in enumerate(tf_configs(count)):
            arguments = [f"--worker={problem}", f"--tasks={num_tasks}"]
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, __file__, *arguments],
                    env=os.environ | {"TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.log,
                    text=True,
                    preexec_fn=functools.partial(os.sched_setaffinity, 0, {cores[index]}),
                )
            )
        self._answers("ready")
        self.run(1)  # traces

    def run(self, number: int) -> float:
        """Seconds of the slowest for so many steps."""
        for process in self.processes:
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
        return max(map(float, self._answers("seconds")))

    def measure(self) -> None:
        """One more time, in ms per step."""
        self.times.append(self.run(self.steps) / self.steps * 1e3)

    def close(self) -> None:
        """Lets its processes end."""
        for process in self.processes:
            process.kill()
            process.wait()

    def _answers(self, kind: str) -> list[str]:
        return [self._answer(process, kind) for process in self.processes]

    def _answer(self, process, kind: str) -> str:
        for line in process.stdout:
            word, *values = line.split()
            if word == kind:
                return " ".join(values)
        self.log.seek(0)
        raise SystemExit(f"{self.log.read()}a process ended: {' '.join(process.args)}")


def measured(teams: list[Team], rounds: int) -> list[float]:
    """The median ms per step of each."""
    for _ in range(rounds):
        for team in teams:
            team.measure()
    for team in teams:
        team.close()
    return [statistics.median(team.times) for team in teams]


def main() -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--problems", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--omniglot_tasks", type=int, default=32)
    parser.add_argument("--regression_tasks", type=int, default=800)
    parser.add_argument("--sampling_tasks", type=int, default=40)
    parser.add_argument("--growth_tasks", type=int, nargs="+", default=GROWTH)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--tasks", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.tasks)
        return
    rows = []
    for problem in options.problems:
        if problem == "growth":
            continue
        tasks = getattr(options, f"{problem}_tasks")
        teams = [Team(problem, tasks, count) for count in (1, 2)]
        one, two = measured(teams, options.rounds)
        pairs = zip(teams[0].times, teams[1].times, strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        rows.append([problem, str(tasks), f"{one:.0f}", f"{two:.0f}", f"{ratio:.2f}"])
        print(f"{problem}: {one:.0f} ms, {two:.0f} ms", flush=True)
    if rows:
        print(table(["problem", "tasks", "one, ms", "two workers, ms", "times as fast"], rows))
    if "growth" in options.problems:
        times = measured(
            [Team("growth", count, 1) for count in options.growth_tasks], options.rounds
        )
        rows = [
            [str(count), f"{ms:.1f}", f"{ms / count:.3f}"]
            for count, ms in zip(options.growth_tasks, times, strict=True)
        ]
        print(table(["tasks", "ms", "ms per task"], rows))


if __name__ == "__main__":
    main()
