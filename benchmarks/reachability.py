"""How well one linear policy per goal does: that goals can be reached, and for what return.

    python benchmarks/reachability.py [cheetah_speed|cheetah_location] [--iterations=60]

Augmented random search (Mania et al. 2018, V2-t) on goals at the modes' means and two standard
deviations to either side, all of them side by side in one batched environment. Prints one line per
goal.
"""

import argparse
import sys
from pathlib import Path

import gymnasium
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.goals import GOALS
from mmaml_tf import envs

# Environment, and what its goals are goals for.
DOMAINS = {
    "cheetah_speed": (envs.HALF_CHEETAH_SPEED, "x_velocity"),
    "cheetah_location": (envs.HALF_CHEETAH_LOCATION, "x_position"),
}
# Of the search: directions per goal, how many of them count, step size, noise (the paper's for
# HalfCheetah, with more directions counting).
DIRECTIONS, BEST, STEP_SIZE, NOISE = 32, 8, 0.02, 0.03
HORIZON = 200


class Normaliser:
    """Running mean and variance of observations [..., obs]."""

    def __init__(self, size: int):
        self.count, self.mean, self.square = 1e-3, np.zeros(size), np.zeros(size)

    def update(self, observations: np.ndarray) -> None:
        """Takes in a batch [n, obs]."""
        total = self.count + len(observations)
        offset = observations.mean(0) - self.mean
        self.square += len(observations) * observations.var(0)
        self.square += offset**2 * self.count * len(observations) / total
        self.mean = self.mean + offset * len(observations) / total
        self.count = total

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Observations with mean zero and variance one."""
        return (observations - self.mean) / np.sqrt(self.square / self.count + 1e-8)


def play(
    env: gymnasium.vector.VectorEnv,
    policies: np.ndarray,
    goals: np.ndarray,
    normalisers: list[Normaliser],
    quantity: str,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Plays an episode each of policies [goals, n, act, obs].

    Returns the returns and the means of `quantity` over the second half, both [goals, n].
    """
    num_goals, each = policies.shape[:2]
    options = {"goals": np.repeat(goals, each)[:, None]}
    observations, _ = env.reset(seed=seed, options=options)
    returns, late, seen = np.zeros((num_goals, each)), np.zeros((num_goals, each)), []
    for t in range(HORIZON):
        per_goal = observations.reshape(num_goals, each, -1)
        seen.append(per_goal[:, ::8])  # one in eight is enough for the statistics
        scaled = np.stack([norm(part) for norm, part in zip(normalisers, per_goal, strict=True)])
        actions = np.einsum("gnao,gno->gna", policies, scaled).clip(-1, 1)
        observations, rewards, _, _, infos = env.step(actions.reshape(num_goals * each, -1))
        returns += rewards.reshape(num_goals, each)
        if t >= HORIZON // 2:
            late += infos[quantity].reshape(num_goals, each) / (HORIZON - HORIZON // 2)
    for index, norm in enumerate(normalisers):
        norm.update(np.concatenate([part[index] for part in seen]))
    return returns, late


def main() -> None:
    """Searches and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("domain", nargs="?", choices=DOMAINS, default="cheetah_speed")
    parser.add_argument("--iterations", type=int, default=60)
    args = parser.parse_args()
    env_id, quantity = DOMAINS[args.domain]
    distribution = GOALS[args.domain]
    goals = np.array([m + s * distribution.std for (m,) in distribution.means for s in (-2, 0, 2)])
    env = gymnasium.make_vec(env_id, num_envs=len(goals) * 2 * DIRECTIONS)
    size = env.single_action_space.shape[0], env.single_observation_space.shape[0]
    policies = np.zeros((len(goals), *size))
    normalisers = [Normaliser(size[1]) for _ in goals]
    rng = np.random.default_rng(0)
    for iteration in range(args.iterations):
        directions = rng.standard_normal((len(goals), DIRECTIONS, *size))
        tried = policies[:, None] + NOISE * np.concatenate([directions, -directions], 1)
        returns, _ = play(env, tried, goals, normalisers, quantity, seed=iteration)
        plus, minus = np.split(returns, 2, 1)
        for index in range(len(goals)):
            best = np.argsort(np.maximum(plus[index], minus[index]))[-BEST:]
            spread = np.concatenate([plus[index, best], minus[index, best]]).std() + 1e-8
            weights = (plus[index, best] - minus[index, best]) / (BEST * spread)
            policies[index] += STEP_SIZE * np.tensordot(weights, directions[index, best], 1)
    final = np.repeat(policies[:, None], 2 * DIRECTIONS, 1)
    returns, late = play(env, final, goals, normalisers, quantity, seed=args.iterations)
    for goal, value, reached in zip(goals, returns.mean(1), late.mean(1), strict=True):
        still = -HORIZON * abs(goal)
        print(
            f"goal {goal:5.1f}: {quantity} {reached:5.2f}, return {value:6.0f} (still {still:.0f})"
        )


if __name__ == "__main__":
    main()
