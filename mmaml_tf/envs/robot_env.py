"""A robot that should run at a speed or in a direction ([MAML] 5.3)."""

from typing import Any

import gymnasium
import numpy as np

from mmaml_tf.envs.arguments import FloatArray, finite_array, goal_of
from mmaml_tf.envs.rendering import Frame
from mmaml_tf.envs.robots import (
    POSITION_NOISE,
    ROBOTS,
    TORSO,
    VELOCITY_NOISE,
    RobotState,
    start_of,
)
from mmaml_tf.envs.simulator import Camera, mujoco, within_limit

DEFAULT_GOAL = (1.0,)


class RobotEnv(gymnasium.Env[FloatArray, FloatArray]):
    """One of `robots.ROBOTS` with one of `robots.AIMS`.

    Dynamics: one step of MuJoCo, of the robot's length. Starts near the model's `init_qpos`: qpos
        with N(0, 0.01²) and qvel with N(0, 0.1²) added.
    Observation: `Robot.observe`. Reward: `Robot.reward`, of the state after the step.
    Action: torques in ±1; larger ones are clipped.
    Ends: terminated when the torso leaves the robot's `heights`; truncated after 200 steps by the
        registration. A diverging simulation ends as in `GoalHalfCheetahEnv`: the last observation
        stays, the reward is zero, and `info["diverged"]` is True until the next reset.
    Goal: `reset(options={"goal": g})`, a speed (m/s) or a direction (±1); it stays for later resets
        that name none.
    Info: `x_velocity` of the centre of mass (m/s), `diverged`.
    Rendering: `rgb_array`, from the model's tracking camera.

    Attributes:
        goal: [1].

    Raises:
        ValueError: an action or goal that is not finite or of another shape.
        RendererUnavailableError: from `render`, where MuJoCo finds no OpenGL.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}

    def __init__(
        self,
        robot: str,
        aim: str,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
    ) -> None:
        self.robot, self.aim = ROBOTS[robot], aim
        self.render_mode = render_mode
        self.model = self.robot.load()
        self.data = mujoco.MjData(self.model)
        self.goal = np.array(DEFAULT_GOAL)
        self._start = start_of(self.model)
        self._camera = Camera(self.model, height, width)
        self._diverged = False
        self.set_state(self._start, np.zeros(self.model.nv))
        size = (len(self._observed),)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, size, np.float64)
        torques: gymnasium.Space[Any] = gymnasium.spaces.Box(
            -1.0, 1.0, (self.model.nu,), np.float32
        )
        self.action_space = torques  # in units of the largest

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Draws an initial state; see the class for `options["goal"]`."""
        super().reset(seed=seed)
        self.goal = goal_of(options, self.goal)
        self._diverged = False
        mujoco.mj_resetData(self.model, self.data)
        noise = POSITION_NOISE * self.np_random.standard_normal(self.model.nq)
        qvel = VELOCITY_NOISE * self.np_random.standard_normal(self.model.nv)
        self.set_state(self._start + noise, qvel)
        return self._observed.copy(), {}

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """One step of the simulator; see the class."""
        action = finite_array(action, (self.model.nu,), "action")
        qpos, qvel = self.data.qpos.copy(), self.data.qvel.copy()
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data)
        sound = within_limit(np.concatenate([self.data.qpos, self.data.qvel]))
        if self.data.warning.number.any() or not sound:
            self._diverged = True
        if self._diverged:
            self.data.qpos[:], self.data.qvel[:] = qpos, qvel
            info = {"x_velocity": self._x_velocity, "diverged": True}
            return self._observed.copy(), 0.0, True, False, info
        state = self._forward()
        reward = self.robot.reward(self.aim, state, self.goal[0], action)
        info = {"x_velocity": self._x_velocity, "diverged": False}
        fell = bool(self.robot.fell(state.qpos))
        return self._observed.copy(), float(reward), fell, False, info

    def set_state(self, qpos: FloatArray, qvel: FloatArray) -> None:
        """Sets positions and velocities; no episode ends or starts."""
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        self._forward()

    def render(self) -> Frame | None:
        """The current state as an RGB frame [height, width, 3], or None without a render mode.

        Not with Mesa's software renderer in a process that has loaded TensorFlow: see `replay`.
        """
        if self.render_mode is None:
            return None
        return self._camera.frame(self.data)

    def close(self) -> None:
        """Frees the renderer; closing twice is allowed."""
        self._camera.close()
        super().close()

    def _forward(self) -> RobotState:
        """Brings all that depends on the state up to date: after a step it is one behind."""
        mujoco.mj_forward(self.model, self.data)
        torso = self.model.body(TORSO).id
        state = RobotState(
            qpos=self.data.qpos,
            qvel=self.data.qvel,
            centre=self.data.subtree_com[torso],
            velocity=self.data.sensordata[0],
            rotation=self.data.xmat[torso],
            forces=self.data.cfrc_ext if self.robot.contact_cost else None,
        )
        self._observed = self.robot.observe(state)
        self._x_velocity = float(state.velocity)
        return state
