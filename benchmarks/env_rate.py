"""Environment steps per second: the batched environments against bare MuJoCo.

    python benchmarks/env_rate.py [--num_envs=800] [--repeats=5]

Prints one line per figure: the median of `repeats` runs, all kinds taken in turn so that a busy
machine slows them alike. A half-cheetah step is five MuJoCo substeps, under random torques in every
kind. "Bare" is `mujoco.rollout`: whole open-loop episodes in C, one thread per core, no Python.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import gymnasium
import numpy as np
from mujoco.rollout import Rollout

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmaml_tf.devices.cores import num_cores
from mmaml_tf.envs import HALF_CHEETAH_SPEED, NAVIGATION_2D
from mmaml_tf.envs.half_cheetah import FRAME_SKIP, HalfCheetahSpeedEnv
from mmaml_tf.envs.simulator import mujoco

HORIZON = 200


def bare_mj_step(threads: int, episodes: int) -> Callable[[], int]:
    """A run of `episodes` open-loop episodes in one call of MuJoCo's own `mj_step` loop."""
    env = HalfCheetahSpeedEnv()
    rng = np.random.default_rng(0)
    torques = rng.uniform(-1, 1, (episodes, HORIZON, env.model.nu)).repeat(FRAME_SKIP, axis=1)
    noise = rng.uniform(-0.1, 0.1, (episodes, env.model.nq))
    states = np.concatenate([np.zeros((episodes, 1)), noise, np.zeros_like(noise)], axis=1)
    pool = Rollout(nthread=threads)
    workspaces = [mujoco.MjData(env.model) for _ in range(threads)]

    def run() -> int:
        pool.rollout(env.model, workspaces, states, torques)
        return episodes * HORIZON

    return run


def vector_steps(env: gymnasium.vector.VectorEnv, steps: int) -> Callable[[], int]:
    """A run of one episode of `steps` steps of every environment in `env`."""
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(steps)]

    def run() -> int:
        env.reset(seed=0)
        for action in actions:
            env.step(action)
        return env.num_envs * steps

    return run


def main() -> None:
    """Measures and prints one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_envs", type=int, default=800)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    cores = num_cores()
    cheetahs = gymnasium.make_vec(HALF_CHEETAH_SPEED, num_envs=args.num_envs)
    serial = gymnasium.make_vec(HALF_CHEETAH_SPEED, num_envs=16, vectorization_mode="sync")
    points = gymnasium.make_vec(NAVIGATION_2D, num_envs=args.num_envs)
    bare = f"bare mj_step x {cores} cores"
    vector = "vector half-cheetah"
    kinds = {
        bare: bare_mj_step(cores, 100 * cores),
        vector: vector_steps(cheetahs, HORIZON),
        "SyncVectorEnv": vector_steps(serial, HORIZON - 1),
        "navigation vector": vector_steps(points, 100),
    }
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(args.repeats):
        for name, run in kinds.items():
            start = time.perf_counter()
            steps = run()
            rates[name].append(steps / (time.perf_counter() - start))
    for name, values in rates.items():
        print(f"{name}: {median(values):.0f} steps/s")
    ratio = median(v / b for v, b in zip(rates[vector], rates[bare], strict=True))
    print(f"{vector} / bare: {ratio:.2f}")


if __name__ == "__main__":
    main()
