"""Environment steps per second: the batched environments against bare MuJoCo.

    python benchmarks/env_rate.py [--num_envs=800] [--repeats=5]

Prints one line per figure: the median of `repeats` runs, all kinds taken in turn so that a busy
machine slows them alike. A half-cheetah step is five MuJoCo substeps, under random torques in every
kind; a step of [MAML]'s robots is one, and what depends on the new state is computed once more. An
ant's is of RK4, which is four. "Bare" is `mujoco.rollout`: whole open-loop episodes in C, one
thread per core, no Python. "Through Gymnasium" is what steps an environment that has no batched
twin (`mmaml_tf.envs.own_vector`).
"""

import argparse
import functools
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
from mmaml_tf.envs.own_vector import OwnVectorEnv
from mmaml_tf.envs.simulator import mujoco

HORIZON = 200
MAMLS = {
    "MAML's half-cheetah": "mmaml_tf/HalfCheetahVelocity-v0",
    "MAML's ant": "mmaml_tf/AntDirection-v0",
}


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
    """A run of one episode of `steps` steps of every environment in `env`; its steps up to their
    ends."""
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(steps)]

    def run() -> int:
        env.reset(seed=0)
        stepped, live = 0, np.ones(env.num_envs, np.bool_)
        for action in actions:
            stepped += int(live.sum())
            _, _, terminated, truncated, _ = env.step(action)
            live = ~(terminated | truncated)
        return stepped

    return run


def through_gymnasium(env_id: str, num_envs: int, steps: int) -> Callable[[], int]:
    """A run of one episode of `steps` steps of `num_envs` environments without their twin."""
    return vector_steps(OwnVectorEnv(env_id, num_envs, np.ones(1)), steps)


def main() -> None:
    """Measures and prints one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_envs", type=int, default=800)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    cores = num_cores()
    make = functools.partial(gymnasium.make_vec, num_envs=args.num_envs)
    cheetahs = make(HALF_CHEETAH_SPEED)
    serial = gymnasium.make_vec(HALF_CHEETAH_SPEED, num_envs=16, vectorization_mode="sync")
    points = make(NAVIGATION_2D)
    bare = f"bare mj_step x {cores} cores"
    vector = "vector half-cheetah"
    kinds = {
        bare: bare_mj_step(cores, 100 * cores),
        vector: vector_steps(cheetahs, HORIZON),
        "SyncVectorEnv": vector_steps(serial, HORIZON - 1),
        "navigation vector": vector_steps(points, 100),
        **{f"vector {name}": vector_steps(make(env_id), HORIZON) for name, env_id in MAMLS.items()},
        **{
            f"{name} through Gymnasium": through_gymnasium(env_id, 16, HORIZON)
            for name, env_id in MAMLS.items()
        },
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
