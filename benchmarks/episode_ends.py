"""What a policy's mean return after each update is made of, in a domain whose episodes end early.

    python benchmarks/episode_ends.py pretrained/maml_navigation/maml-seed0 [--tasks=40]

A line per update: the mean return, the median episode's, the share of episodes that ended before
the horizon, the mean as [MAML]'s code counts it, and the policy's log sigma. That code's sampler
(rllab's VectorizedSampler) starts an environment anew as soon as its episode ends and stops at a
number of steps in complete episodes, so that short ones count more often; here it draws from the
episodes that were played.
"""

import argparse
import heapq
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.trained import trained
from mmaml_tf.rl.config import RlConfig
from mmaml_tf.tasks import TaskStream


def counted(
    returns: np.ndarray, lengths: np.ndarray, horizon: int, rng: np.random.Generator
) -> float:
    """What [MAML]'s sampler would report of a task whose episodes are these [rollouts].

    Its environments, as many as there are episodes, start the next one where one has ended, until
    the complete ones have `horizon` steps for each environment; the mean is of those. Short ones
    are more of them.
    """
    number = len(returns)
    running = []
    for environment in range(number):
        drawn = rng.integers(number)
        running.append((lengths[drawn], environment, drawn))
    heapq.heapify(running)
    complete: list[int] = []
    while lengths[complete].sum() < number * horizon:
        now, environment, ended = heapq.heappop(running)
        complete.append(ended)
        drawn = rng.integers(number)
        heapq.heappush(running, (now + lengths[drawn], environment, drawn))
    return float(returns[complete].mean())


def main() -> None:
    """Plays and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a run folder with weights")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()

    domain, learner = trained(args.run, RlConfig)
    config = domain.config
    rng = np.random.default_rng([config.eval_seed, TaskStream.EVALUATION.value])
    goals, _ = domain.goals.sample(rng, args.tasks)
    tasks = domain.tasks(goals, rng, config.eval_rollouts)
    adaptation = learner.adapt_to(tasks, args.steps)
    print("update    mean  median  ended early  as counted there  log sigma")
    for update, (rollouts, fast) in enumerate(zip(tasks.rollouts, adaptation.fast, strict=True)):
        returns, lengths = (np.asarray(part).sum(-1) for part in (rollouts.rewards, rollouts.mask))
        lengths, horizon = lengths.astype(int), rollouts.mask.shape[-1]
        episodes = zip(returns, lengths, strict=True)
        there = float(np.mean([counted(*of_task, horizon, rng) for of_task in episodes]))
        log_sigma = np.mean(fast[-1].parts[-1])
        print(
            f"{update:6} {returns.mean():7.2f} {np.median(returns):7.2f} "
            f"{(lengths < horizon).mean():12.0%} {there:17.2f} {log_sigma:10.2f}"
        )


if __name__ == "__main__":
    main()
