"""Half-cheetah with a goal: target location and target speed ([MuMoMAML] Fig. 3)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.utils import EzPickle

from mmaml_tf.envs.arguments import FloatArray, finite_array, goal_of
from mmaml_tf.envs.rendering import Frame
from mmaml_tf.envs.simulator import (
    Camera,
    HalfCheetahEnv,
    quiet_loading,
    within_limit,
)

FRAME_SKIP = 5
RESET_NOISE = 0.1
CONTROL_COST = 0.05
MAX_TORQUE = 1.0


@dataclass(frozen=True)
class CheetahTask:
    """What the goal is about.

    Attributes:
        quantity: the info that should equal the goal, `x_position` (m) or `x_velocity` (m/s).
        observes_x: whether the observation starts with the x position.
        default_goal: goal before any is set (choice: the centre of one mode).
    """

    quantity: str
    observes_x: bool
    default_goal: float


LOCATION = CheetahTask("x_position", observes_x=True, default_goal=5.0)
SPEED = CheetahTask("x_velocity", observes_x=False, default_goal=1.5)


def goal_reward(
    achieved: FloatArray | float, goal: FloatArray | float, action: FloatArray
) -> FloatArray:
    """-|achieved - g| - 0.05‖a‖²: [...], [...] and [..., 6] to [...].

    Only the torque that is applied costs: a is the action clipped to ±1, as in [MAML]'s code.
    """
    torque = np.clip(action, -MAX_TORQUE, MAX_TORQUE)
    return -np.abs(achieved - goal) - CONTROL_COST * np.square(torque).sum(axis=-1)


class GoalHalfCheetahEnv(HalfCheetahEnv):
    """Gymnasium's HalfCheetah-v5 with a goal instead of "run forward".

    Dynamics: v5's model, 5 substeps of 0.01 s per step, and v5's initial states: qpos with
        U[-0.1, 0.1] and qvel with N(0, 0.1²) added.
    Action: torques [6] in ±1; MuJoCo clips larger ones.
    Ends: truncated after 200 steps by the registration. A diverging simulation (a MuJoCo warning,
        or a state beyond `within_limit`) terminates the episode: the state goes back to that
        before the step, the reward is zero, and `info["diverged"]` is True until the next reset.
    Goal: `reset(options={"goal": g})`; it stays for later resets that name none. The mixture of
        goals lives in data/.
    Info: `x_position` (m), `x_velocity` (m/s, over the whole step), `diverged`.
    Rendering: `rgb_array`, from MuJoCo's own tracking camera.

    Attributes:
        goal: [1].

    Raises:
        ValueError: an action not finite or not of shape (6,), a goal that is not one finite number.
        RendererUnavailableError: from `render`, where MuJoCo finds no OpenGL.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}
    task: CheetahTask

    def __init__(self, render_mode: str | None = None, width: int = 480, height: int = 480) -> None:
        with quiet_loading():
            super().__init__(
                frame_skip=FRAME_SKIP,
                reset_noise_scale=RESET_NOISE,
                exclude_current_positions_from_observation=not self.task.observes_x,
                render_mode=render_mode,
                width=width,
                height=height,
            )
        self.metadata = type(self).metadata  # v5 sets its own, with modes that need a window
        # v5 recorded its own arguments; a copied or unpickled environment is built from these.
        EzPickle.__init__(self, render_mode, width, height)
        self.goal = np.array([self.task.default_goal])
        self._diverged = False
        self._camera = Camera(self.model, height, width)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Draws an initial state; see the class for `options["goal"]`."""
        self.goal = goal_of(options, self.goal)
        self._diverged = False
        return super().reset(seed=seed)

    def step(  # type: ignore[override]  # v5's own types are narrower than Gymnasium's
        self, action: npt.ArrayLike
    ) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """One step of 0.05 s; see the class."""
        action = finite_array(action, (self.model.nu,), "action")
        qpos, qvel = self.data.qpos.copy(), self.data.qvel.copy()
        self.do_simulation(action, self.frame_skip)
        if self.data.warning.number.any() or not within_limit(self.state_vector()):
            self._diverged = True
        if self._diverged:
            self.set_state(qpos, qvel)
        x_position = float(self.data.qpos[0])
        info = {
            "x_position": x_position,
            "x_velocity": (x_position - float(qpos[0])) / self.dt,
            "diverged": self._diverged,
        }
        reward = float(goal_reward(info[self.task.quantity], self.goal[0], action))
        return self._get_obs(), 0.0 if self._diverged else reward, self._diverged, False, info

    def render(self) -> Frame | None:
        """The current state as an RGB frame [height, width, 3], or None without a render mode.

        Not with Mesa's software renderer in a process that has loaded TensorFlow: see `replay`.
        """
        if self.render_mode is None:
            return None
        posts = [self.goal[0]] if self.task is LOCATION else []
        return self._camera.frame(self.data, posts)

    def close(self) -> None:
        """Frees the renderer; closing twice is allowed."""
        self._camera.close()
        super().close()


class HalfCheetahLocationEnv(GoalHalfCheetahEnv):
    """Half-cheetah that should be at x = g.

    Observation: x position, then v5's observation, float64 [18].
    Reward: -|x' - g| - 0.05‖a‖², a clipped, x' after the step ([MuMoMAML] Fig. 3b; the
        form and the cost are a choice, after [MAML]'s target speed).
    All else as in `GoalHalfCheetahEnv`; a red post marks the goal in pictures.
    """

    task = LOCATION


class HalfCheetahSpeedEnv(GoalHalfCheetahEnv):
    """Half-cheetah that should run at g m/s, backwards if negative.

    Observation: v5's, float64 [17].
    Reward: -|ẋ - g| - 0.05‖a‖², a clipped, ẋ = (x' - x) / 0.05 s ([MAML] §5.3 and
        its code for the cost; [MuMoMAML] Fig. 3c).
    All else as in `GoalHalfCheetahEnv`.
    """

    task = SPEED
