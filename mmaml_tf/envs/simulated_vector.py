"""Many simulations of one MuJoCo model at once, stepped by MuJoCo's own threads.

`mujoco.batch.Batch` keeps one row of state per simulation, the solver's warm start included, and
steps the rows on a thread pool. `mujoco.rollout` was tried first: it drops the warm start between
calls, so its trajectories leave those of the single environment (1e-13 after five steps, 1e-7
after fifty, another trajectory after two hundred), and it is no faster.
"""

from typing import Any

import gymnasium
import numpy as np

from mmaml_tf.devices.cores import num_cores
from mmaml_tf.envs.arguments import BoolArray, FloatArray, finite_array
from mmaml_tf.envs.goal_vector_env import GoalVectorEnv
from mmaml_tf.envs.simulator import Batch, mujoco, within_limit

NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)


class SimulatedVectorEnv(GoalVectorEnv):
    """Episodes and goals as in `GoalVectorEnv`; equal to single environments bit by bit from the
    same state, whatever the number of threads.

    A diverging simulation (a MuJoCo warning, or a state beyond `within_limit`) goes back to its
    state before the step, ends its own episode without a reward and is counted in `num_diverged`;
    the others go on.

    Args:
        model: of every simulation.
        num_envs: simulations.
        max_episode_steps: after which an episode is truncated.
        spaces: observations and actions of one.
        default_goal: before any is set.
        num_threads: threads that step the simulations; None takes one per available core.
    """

    def __init__(
        self,
        model: "mujoco.MjModel",
        num_envs: int,
        max_episode_steps: int,
        spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
        default_goal: tuple[float, ...],
        num_threads: int | None,
    ) -> None:
        super().__init__(num_envs, max_episode_steps, spaces, default_goal)
        self._batch = Batch(model, num_envs, num_threads or num_cores())
        # Live views: writing them sets the state of the next step.
        self._qpos, self._qvel, self._ctrl = map(self._batch.bind, ("qpos", "qvel", "ctrl"))
        self._warning_counts = self._batch.warning[..., 1]
        self._rows_before = np.empty_like(self._batch.state)
        self._diverged = np.zeros(num_envs, dtype=np.bool_)

    @property
    def qpos(self) -> FloatArray:
        """Generalised positions [num_envs, nq] (a copy)."""
        return self._qpos.copy()

    @property
    def qvel(self) -> FloatArray:
        """Generalised velocities [num_envs, nv] (a copy)."""
        return self._qvel.copy()

    def set_states(self, qpos: FloatArray, qvel: FloatArray) -> None:
        """Sets positions [num_envs, nq] and velocities [num_envs, nv]: no episode ends or
        starts."""
        self._qpos[...] = finite_array(qpos, self._qpos.shape, "qpos")
        self._qvel[...] = finite_array(qvel, self._qvel.shape, "qvel")

    def _reset_simulations(self, mask: BoolArray) -> None:
        """Clears the masked simulations; their states are to be set next."""
        self._batch.reset(ids=mask, stage=NO_STAGE)
        self._diverged[mask] = False

    def _simulate(self, actions: FloatArray, live: BoolArray, **options: Any) -> BoolArray:
        """Steps the live simulations, `options` being `Batch.step`'s; returns which of them
        diverged, and are back where they were."""
        np.copyto(self._rows_before, self._batch.state)
        self._ctrl[...] = actions
        self._batch.step(ids=live, **options)
        sound = within_limit(self._qpos) & within_limit(self._qvel)
        cut = live & (self._warning_counts.any(axis=1) | ~sound)
        if cut.any():
            self._batch.state[cut] = self._rows_before[cut]
            self.num_diverged += int(cut.sum())
            self._diverged |= cut
        return cut
