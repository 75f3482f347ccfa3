"""Half-cheetah with a goal, for many simulations at once."""

from typing import Any

import numpy as np

from mmaml_tf.envs.arguments import BoolArray, FloatArray
from mmaml_tf.envs.half_cheetah import (
    FRAME_SKIP,
    LOCATION,
    RESET_NOISE,
    SPEED,
    CheetahTask,
    HalfCheetahLocationEnv,
    HalfCheetahSpeedEnv,
    goal_reward,
)
from mmaml_tf.envs.simulated_vector import SimulatedVectorEnv


class GoalHalfCheetahVectorEnv(SimulatedVectorEnv):
    """The batched twin of `GoalHalfCheetahEnv`.

    Goals [num_envs, 1] (or [num_envs]), actions [num_envs, 6]; states are set as by v5's
    `set_state`. Infos, each [num_envs]: `x_position`, `x_velocity`, and `diverged`, True until the
    reset.

    Args:
        num_envs: simulations.
        max_episode_steps: after which an episode is truncated.
        num_threads: threads that step the simulations; None takes one per available core.
    """

    task: CheetahTask
    _single: type[HalfCheetahLocationEnv | HalfCheetahSpeedEnv]

    def __init__(
        self, num_envs: int = 1, max_episode_steps: int = 200, num_threads: int | None = None
    ) -> None:
        single = self._single()
        spaces = (single.observation_space, single.action_space)
        super().__init__(
            single.model,
            num_envs,
            max_episode_steps,
            spaces,
            (self.task.default_goal,),
            num_threads,
        )
        self._init_qpos, self._init_qvel, self._dt = single.init_qpos, single.init_qvel, single.dt

    def _reset_states(self, mask: BoolArray) -> None:
        self._reset_simulations(mask)
        shape = (int(mask.sum()), self._qpos.shape[1])
        noise = self.np_random.uniform(-RESET_NOISE, RESET_NOISE, size=shape)
        self._qpos[mask] = self._init_qpos + noise
        self._qvel[mask] = self._init_qvel + RESET_NOISE * self.np_random.standard_normal(shape)

    def _advance(
        self, actions: FloatArray, live: BoolArray
    ) -> tuple[FloatArray, BoolArray, dict[str, Any]]:
        x_before = self._qpos[:, 0].copy()
        cut = self._simulate(actions, live, nstep=FRAME_SKIP)
        x_position = self._qpos[:, 0].copy()
        infos = {
            "x_position": x_position,
            "x_velocity": (x_position - x_before) / self._dt,
            "diverged": self._diverged.copy(),
        }
        rewards = goal_reward(infos[self.task.quantity], self.goals[:, 0], actions)
        return np.where(cut, 0.0, rewards), cut, infos

    def _observe(self) -> FloatArray:
        first = 0 if self.task.observes_x else 1
        return np.concatenate([self._qpos[:, first:], self._qvel], axis=1)

    def _reset_infos(self) -> dict[str, Any]:
        return {"x_position": self._qpos[:, 0].copy()}


class HalfCheetahLocationVectorEnv(GoalHalfCheetahVectorEnv):
    """The batched twin of `HalfCheetahLocationEnv`: observations [num_envs, 18]."""

    task = LOCATION
    _single = HalfCheetahLocationEnv


class HalfCheetahSpeedVectorEnv(GoalHalfCheetahVectorEnv):
    """The batched twin of `HalfCheetahSpeedEnv`: observations [num_envs, 17]."""

    task = SPEED
    _single = HalfCheetahSpeedEnv
