"""Time of one half-cheetah meta-iteration against the physics it contains.

    python benchmarks/rl_iteration.py [--method=mumomaml] [--meta_batch_size=40] [--rollouts=20]
        [--repeats=3] [--intra_op_threads=0] [--support_stride=10] [--query_stride=10]

Prints one line per figure, medians of `repeats` meta-iterations after a first one that traces:
rates of bare `mj_step` on all cores and of the vector environment, seconds of sampling, of the
inner gradient steps, of the TRPO update and its parts, and the ratio of the whole to the bare
physics of as many steps.
"""

import argparse
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import gymnasium

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from env_rate import bare_mj_step, vector_steps

from mmaml_tf.devices.cores import num_cores
from mmaml_tf.envs import HALF_CHEETAH_SPEED


def main() -> None:
    """Times and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=("maml", "mumomaml"), default="mumomaml")
    parser.add_argument("--meta_batch_size", type=int, default=40)
    parser.add_argument("--rollouts", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--intra_op_threads", type=int, default=0, help="0: one per core")
    parser.add_argument("--support_stride", type=int, default=10)
    parser.add_argument("--query_stride", type=int, default=10)
    args = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.intra_op_threads)
    from problems import cheetah_speed

    from mmaml_tf.rl.meta_trpo import without_graph_rewriting
    from mmaml_tf.rl.rollouts import Experience

    measuring = ("repeats", "intra_op_threads")
    chosen = {name: value for name, value in vars(args).items() if name not in measuring}
    domain = cheetah_speed(**chosen)
    config = domain.config
    learner = domain.build_learner()
    trpo = learner.meta_update
    batch = config.meta_batch_size * config.rollouts
    envs = gymnasium.make_vec(HALF_CHEETAH_SPEED, num_envs=batch)
    bare, vector = bare_mj_step(num_cores(), 100 * num_cores()), vector_steps(envs, 200)
    seconds: dict[str, list[float]] = defaultdict(list)
    rates: dict[str, list[float]] = defaultdict(list)

    def timed(name, run, *arguments):
        start = time.perf_counter()
        result = run(*arguments)
        seconds[name].append(time.perf_counter() - start)
        return result

    def full_step(*arguments):
        with without_graph_rewriting():
            return trpo.full_step(*arguments).numpy()

    def inner_step(*arguments):
        return tf.nest.flatten(learner.inner_step(*arguments))[0].numpy()

    for repeat in range(args.repeats + 1):
        for name, run in (("bare", bare), ("vector", vector)):
            start = time.perf_counter()
            steps = run()
            rates[name].append(steps / (time.perf_counter() - start))
        tasks = domain.training_tasks(repeat)
        trajectories = learner.explore(tasks)
        tau, _ = learner.modulate(trajectories)
        timed("sampling", learner.adapt_to, tasks, len(learner.learning_rates))
        *supports, query = map(learner.policy_data, tasks.rollouts)
        experience = Experience(trajectories, tuple(supports), query)
        prior, alpha = learner.network.prior(), tf.constant(config.inner_lr)
        for support in supports:
            timed("inner step (part of sampling)", inner_step, prior, tau, support, alpha)
        seen = learner, experience
        _, gradient, old, fast = trpo.gradient(*seen)
        timed("TRPO gradient", lambda *e: trpo.gradient(*e)[1].numpy(), *seen)
        timed("TRPO direction", full_step, *seen, gradient, fast)
        timed("TRPO line search, a point", lambda *e: trpo.evaluate(*e)[0].numpy(), *seen, old)
        timed("TRPO update", trpo, *seen)
        timed("meta-iteration", learner.train_step, tf.constant(repeat))
    figures = {name: median(values[1:]) for name, values in seconds.items()}
    bare_rate, vector_rate = (median(rates[name][1:]) for name in ("bare", "vector"))
    steps = batch * 200 * (config.inner_steps + 1)
    if args.method == "mumomaml":
        steps += config.meta_batch_size * config.embedding_trajectories * 200
    physics = steps / bare_rate
    print(f"bare mj_step x {num_cores()} cores: {bare_rate:.0f} steps/s")
    print(f"vector half-cheetah: {vector_rate:.0f} steps/s")
    for name, value in figures.items():
        print(f"{name}: {value:.2f} s")
    print(f"sampling rate / bare physics: {physics / figures['sampling']:.2f}")
    print(
        f"meta-iteration / its {physics:.2f} s physics: {figures['meta-iteration'] / physics:.2f}"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory: {peak:.1f} GB")


if __name__ == "__main__":
    main()
