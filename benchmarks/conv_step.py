"""Time and memory of one Omniglot meta-step, second order, Adam: [MAML]'s conv net at full size.

Each variant is a process of its own, since the number of threads is set once per process; they
take turns, so that the machine's drift hits all alike. Lines are medians. The images are random
(the numbers do not matter for the speed), so no data set is needed.

    python benchmarks/conv_step.py [--ways=20] [--shots=5] [--rounds=9] [--variants maml film]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

# Name: (method, task batching, intra-op threads); "loop" takes the gradient through tf.map_fn.
VARIANTS = {
    "maml": ("maml", "map", 1),
    "film": ("mumomaml", "map", 1),
    "maml_batched": ("maml", "batched", 1),
    "maml_through_map_fn": ("maml", "loop", 1),
    "maml_through_map_fn_default_threads": ("maml", "loop", 0),
    "film_through_map_fn_default_threads": ("mumomaml", "loop", 0),
}


def work(variant: str, ways: int, shots: int) -> None:
    """A variant's process: does as many steps as each line says, and answers with seconds."""
    method, batching, threads = VARIANTS[variant]
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    from problems import omniglot

    batched = "map" if batching == "map" else "batched"
    domain = omniglot(method, ways, shots, task_batching=batched)
    learner = domain.build_learner()
    if batching == "loop":
        learner.meta_gradients = lambda batch: through_map_fn(learner, batch)
    sample = tf.function(domain.training_tasks)
    step = tf.function(learner.train_step)
    iteration = 0
    for line in sys.stdin:
        kind, number = line.split()
        began = time.perf_counter()
        for _ in range(int(number)):
            batch = sample(tf.constant(iteration))
            if kind == "step":
                float(step(batch)["loss"])
            iteration += 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(time.perf_counter() - began, peak, flush=True)


def through_map_fn(learner, batch):
    """What one writes first: losses by tf.map_fn, and the gradient of their mean through it."""
    import tensorflow as tf

    def one_task(task):
        losses = learner.meta_loss(tf.nest.map_structure(lambda part: part[None], task))
        return losses[0][0], losses[1][0]

    with tf.GradientTape() as tape:
        losses, support_losses = tf.map_fn(
            one_task, batch, fn_output_signature=(tf.float32, tf.float32)
        )
        loss = tf.reduce_mean(losses)
    return losses, support_losses, tape.gradient(loss, learner.parameter_groups())


class Worker:
    """A variant's process, seen from outside."""

    def __init__(self, variant: str, ways: int, shots: int):
        self.process = subprocess.Popen(
            [sys.executable, __file__, f"--worker={variant}", f"--ways={ways}", f"--shots={shots}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.times: list[float] = []
        self.peak = 0.0

    def seconds(self, kind: str, number: int) -> float:
        """Of that many steps, or samples."""
        self.process.stdin.write(f"{kind} {number}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a worker ended: {' '.join(self.process.args)}")
        seconds, self.peak = map(float, answer.split())
        return seconds


def main() -> None:
    """Measures and prints one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", type=int, default=5, help="5 (32 tasks, 1 step) or 20 (16, 5)")
    parser.add_argument("--shots", type=int, default=1, help="drawings of each class to learn from")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.ways, options.shots)
        return
    workers = {name: Worker(name, options.ways, options.shots) for name in options.variants}
    for name, worker in workers.items():
        first = worker.seconds("step", 1)
        print(f"{name} first step: {first:.1f} s", flush=True)
        worker.seconds("step", 2)
    for _ in range(options.rounds):
        for worker in workers.values():
            worker.times.append(worker.seconds("step", options.steps) / options.steps * 1e3)
    for name, worker in workers.items():
        median, fastest = statistics.median(worker.times), min(worker.times)
        print(f"{name}: {median:.0f} ms (fastest {fastest:.0f}), peak {worker.peak:.0f} MiB")
    for name in ("maml", "film"):
        naive = f"{name}_through_map_fn_default_threads"
        if {name, naive} <= set(workers):
            ratios = zip(workers[name].times, workers[naive].times, strict=True)
            print(f"{name} / {naive}: {statistics.median(a / b for a, b in ratios):.2f}")
    samples = 50
    worker = next(iter(workers.values()))
    print(f"sampling: {worker.seconds('sample', samples) / samples * 1e3:.2f} ms per batch")


if __name__ == "__main__":
    main()
