"""Half-cheetah for many simulations at once, stepped by MuJoCo's own threads.

`mujoco.batch.Batch` keeps one row of state per simulation, the solver's warm start included, and
steps the rows on a thread pool. `mujoco.rollout` was tried first: it drops the warm start between
calls, so its trajectories leave those of the single environment (1e-13 after five steps, 1e-7
after fifty, another trajectory after two hundred), and it is no faster.
"""

from typing import Any

import numpy as np

from mmaml_tf.devices.cores import num_cores
from mmaml_tf.envs.arguments import BoolArray, FloatArray, finite_array
from mmaml_tf.envs.goal_vector_env import GoalVectorEnv
from mmaml_tf.envs.half_cheetah import (
    FRAME_SKIP,
    LOCATION,
    RESET_NOISE,
    SPEED,
    CheetahTask,
    HalfCheetahLocationEnv,
    HalfCheetahSpeedEnv,
    goal_reward,
    within_limit,
)
from mmaml_tf.envs.simulator import Batch, mujoco

_NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)


class GoalHalfCheetahVectorEnv(GoalVectorEnv):
    """The batched twin of `GoalHalfCheetahEnv`; episodes and goals as in `GoalVectorEnv`.

    Equal to the single environment bit by bit from the same state, whatever the number of threads.
    Goals [num_envs, 1] (or [num_envs]), actions [num_envs, 6]. A diverging simulation ends its own
    episode as in the single environment and is counted in `num_diverged`; the others go on.
    Infos, each [num_envs]: `x_position`, `x_velocity`, and `diverged`, True until the reset.

    Args:
        num_threads: threads that step the simulations; None takes one per available core.
    """

    task: CheetahTask
    _single: type[HalfCheetahLocationEnv | HalfCheetahSpeedEnv]

    def __init__(
        self, num_envs: int = 1, max_episode_steps: int = 200, num_threads: int | None = None
    ) -> None:
        single = self._single()
        spaces = (single.observation_space, single.action_space)
        super().__init__(num_envs, max_episode_steps, spaces, (self.task.default_goal,))
        self._batch = Batch(single.model, num_envs, num_threads or num_cores())
        self._init_qpos, self._init_qvel, self._dt = single.init_qpos, single.init_qvel, single.dt
        # Live views: writing them sets the state of the next step.
        self._qpos = self._batch.bind("qpos")
        self._qvel = self._batch.bind("qvel")
        self._ctrl = self._batch.bind("ctrl")
        self._warning_counts = self._batch.warning[..., 1]
        self._rows_before = np.empty_like(self._batch.state)
        self._diverged = np.zeros(num_envs, dtype=np.bool_)

    @property
    def qpos(self) -> FloatArray:
        """Generalised positions [num_envs, 9] (a copy), x first."""
        return self._qpos.copy()

    @property
    def qvel(self) -> FloatArray:
        """Generalised velocities [num_envs, 9] (a copy)."""
        return self._qvel.copy()

    def set_states(self, qpos: FloatArray, qvel: FloatArray) -> None:
        """Sets positions and velocities, both [num_envs, 9], as v5's `set_state` does: no episode
        ends or starts."""
        self._qpos[...] = finite_array(qpos, self._qpos.shape, "qpos")
        self._qvel[...] = finite_array(qvel, self._qvel.shape, "qvel")

    def _reset_states(self, mask: BoolArray) -> None:
        self._batch.reset(ids=mask, stage=_NO_STAGE)
        shape = (int(mask.sum()), self._qpos.shape[1])
        noise = self.np_random.uniform(-RESET_NOISE, RESET_NOISE, size=shape)
        self._qpos[mask] = self._init_qpos + noise
        self._qvel[mask] = self._init_qvel + RESET_NOISE * self.np_random.standard_normal(shape)
        self._diverged[mask] = False

    def _advance(
        self, actions: FloatArray, live: BoolArray
    ) -> tuple[FloatArray, BoolArray, dict[str, Any]]:
        np.copyto(self._rows_before, self._batch.state)
        x_before = self._qpos[:, 0].copy()
        self._ctrl[...] = actions
        self._batch.step(ids=live, nstep=FRAME_SKIP)
        sound = within_limit(self._qpos) & within_limit(self._qvel)
        cut = live & (self._warning_counts.any(axis=1) | ~sound)
        if cut.any():
            self._batch.state[cut] = self._rows_before[cut]
            self.num_diverged += int(cut.sum())
            self._diverged |= cut
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
