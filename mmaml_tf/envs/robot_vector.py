"""Robots for many simulations at once, stepped by MuJoCo's own threads."""

from typing import Any

import numpy as np

from mmaml_tf.devices.cores import num_cores
from mmaml_tf.envs.arguments import BoolArray, FloatArray, finite_array
from mmaml_tf.envs.goal_vector_env import GoalVectorEnv
from mmaml_tf.envs.half_cheetah import within_limit
from mmaml_tf.envs.robot_env import DEFAULT_GOAL, spaces
from mmaml_tf.envs.robots import (
    POSITION_NOISE,
    ROBOTS,
    TORSO,
    VELOCITY_NOISE,
    RobotState,
    start_of,
)
from mmaml_tf.envs.simulator import Batch, mujoco

_NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)


class RobotVectorEnv(GoalVectorEnv):
    """The batched twin of `RobotEnv`; episodes and goals as in `GoalVectorEnv`.

    Equal to the single environment bit by bit from the same state, whatever the number of threads.
    Goals [num_envs, 1] (or [num_envs]), actions [num_envs, act]. A diverging simulation ends its
    own episode as in the single environment and is counted in `num_diverged`; the others go on.
    Infos, each [num_envs]: `x_velocity`, and `diverged`, True until the reset.

    Args:
        robot: of `robots.ROBOTS`.
        aim: of `robots.AIMS`.
        num_threads: threads that step the simulations; None takes one per available core.
    """

    def __init__(
        self,
        robot: str,
        aim: str,
        num_envs: int = 1,
        max_episode_steps: int = 200,
        num_threads: int | None = None,
    ) -> None:
        self.robot, self.aim = ROBOTS[robot], aim
        model = self.robot.load()
        self._torso, self._start = model.body(TORSO).id, start_of(model)
        batch = self._batch = Batch(model, num_envs, num_threads or num_cores())
        # Contact forces need the accelerations; all else is known before them.
        stages = mujoco.mjtStage
        self._stage = int(stages.mjSTAGE_ACC if self.robot.contact_cost else stages.mjSTAGE_VEL)
        # Live views: writing the first three sets the state of the next step.
        self._qpos, self._qvel, self._ctrl = map(batch.bind, ("qpos", "qvel", "ctrl"))
        self._centres, self._sensors = batch.bind("subtree_com"), batch.bind("sensordata")
        self._rotations = batch.bind("xmat")
        self._forces = batch.bind("cfrc_ext") if self.robot.contact_cost else None
        self._warning_counts = batch.warning[..., 1]
        self._rows_before = np.empty_like(batch.state)
        self._diverged = np.zeros(num_envs, dtype=np.bool_)
        self._qpos[:] = self._start
        batch.forward(stage=self._stage)
        self._observed = self.robot.observe(self._state())
        super().__init__(
            num_envs,
            max_episode_steps,
            spaces(self._observed.shape[1], model.nu),
            DEFAULT_GOAL,
        )

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
        self._batch.forward(stage=self._stage)
        self._observed = self.robot.observe(self._state())

    def _reset_states(self, mask: BoolArray) -> None:
        self._batch.reset(ids=mask, stage=_NO_STAGE)
        count = int(mask.sum())
        noise = self.np_random.standard_normal((count, self._qpos.shape[1]))
        self._qpos[mask] = self._start + POSITION_NOISE * noise
        noise = self.np_random.standard_normal((count, self._qvel.shape[1]))
        self._qvel[mask] = VELOCITY_NOISE * noise
        self._batch.forward(ids=mask, stage=self._stage)
        self._observed[mask] = self.robot.observe(self._state(mask))
        self._diverged[mask] = False

    def _advance(
        self, actions: FloatArray, live: BoolArray
    ) -> tuple[FloatArray, BoolArray, dict[str, Any]]:
        np.copyto(self._rows_before, self._batch.state)
        self._ctrl[...] = actions
        self._batch.step(ids=live, stage=self._stage)
        sound = within_limit(self._qpos) & within_limit(self._qvel)
        cut = live & (self._warning_counts.any(axis=1) | ~sound)
        if cut.any():
            self._batch.state[cut] = self._rows_before[cut]
            self.num_diverged += int(cut.sum())
            self._diverged |= cut
        state = self._state()
        moved = live & ~cut
        self._observed[moved] = self.robot.observe(self._state(moved))
        infos = {"x_velocity": state.velocity.copy(), "diverged": self._diverged.copy()}
        rewards = self.robot.reward(self.aim, state, self.goals[:, 0], actions)
        return np.where(cut, 0.0, rewards), cut | self.robot.fell(state.qpos), infos

    def _observe(self) -> FloatArray:
        return self._observed.copy()

    def _state(self, mask: Any = slice(None)) -> RobotState:
        return RobotState(
            qpos=self._qpos[mask],
            qvel=self._qvel[mask],
            centre=self._centres[mask, self._torso],
            velocity=self._sensors[mask, 0],
            rotation=self._rotations[mask, self._torso],
            forces=None if self._forces is None else self._forces[mask],
        )
