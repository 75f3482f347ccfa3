"""[MAML]'s robots, for many simulations at once."""

from typing import Any

import numpy as np

from mmaml_tf.envs.arguments import BoolArray, FloatArray
from mmaml_tf.envs.robot_env import DEFAULT_GOAL, RobotEnv
from mmaml_tf.envs.robots import POSITION_NOISE, TORSO, VELOCITY_NOISE, RobotState, start_of
from mmaml_tf.envs.simulated_vector import SimulatedVectorEnv
from mmaml_tf.envs.simulator import mujoco


class RobotVectorEnv(SimulatedVectorEnv):
    """The batched twin of `RobotEnv`.

    Goals [num_envs, 1] (or [num_envs]), actions [num_envs, act]. Infos, each [num_envs]:
    `x_velocity`, and `diverged`, True until the reset.

    Args:
        robot: of `robots.ROBOTS`.
        aim: of `robots.AIMS`.
        num_envs: simulations.
        max_episode_steps: after which an episode is truncated.
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
        single = RobotEnv(robot, aim)
        self.robot, self.aim = single.robot, single.aim
        spaces = (single.observation_space, single.action_space)
        model = single.model
        super().__init__(model, num_envs, max_episode_steps, spaces, DEFAULT_GOAL, num_threads)
        self._torso, self._start = model.body(TORSO).id, start_of(model)
        # Contact forces need the accelerations; all else is known before them.
        stages = mujoco.mjtStage
        self._stage = int(stages.mjSTAGE_ACC if self.robot.contact_cost else stages.mjSTAGE_VEL)
        bind = self._batch.bind
        self._centres, self._sensors = bind("subtree_com"), bind("sensordata")
        self._rotations = bind("xmat")
        self._forces = bind("cfrc_ext") if self.robot.contact_cost else None
        self._qpos[:] = self._start
        self._observe_all()

    def set_states(self, qpos: FloatArray, qvel: FloatArray) -> None:
        """See `SimulatedVectorEnv`."""
        super().set_states(qpos, qvel)
        self._observe_all()

    def _observe_all(self) -> None:
        self._batch.forward(stage=self._stage)
        self._observed = self.robot.observe(self._state())

    def _reset_states(self, mask: BoolArray) -> None:
        self._reset_simulations(mask)
        count = int(mask.sum())
        noise = self.np_random.standard_normal((count, self._qpos.shape[1]))
        self._qpos[mask] = self._start + POSITION_NOISE * noise
        noise = self.np_random.standard_normal((count, self._qvel.shape[1]))
        self._qvel[mask] = VELOCITY_NOISE * noise
        self._batch.forward(ids=mask, stage=self._stage)
        self._observed[mask] = self.robot.observe(self._state(mask))

    def _advance(
        self, actions: FloatArray, live: BoolArray
    ) -> tuple[FloatArray, BoolArray, dict[str, Any]]:
        cut = self._simulate(actions, live, stage=self._stage)
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
