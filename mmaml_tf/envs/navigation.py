"""2D navigation: a point that walks to a goal ([MAML] §5.3, [MuMoMAML] Fig. 3a, d)."""

from typing import Any

import gymnasium
import numpy as np

from mmaml_tf.envs.arguments import BoolArray, FloatArray, finite_array, goal_of
from mmaml_tf.envs.rendering import Frame, draw_navigation

MAX_SPEED = 0.1
GOAL_TOLERANCE = 0.01
DEFAULT_GOAL = (0.5, 0.5)


def move(position: FloatArray, action: FloatArray) -> FloatArray:
    """p' = p + clip(a, ±0.1) per axis; both [..., 2]."""
    return position + np.clip(action, -MAX_SPEED, MAX_SPEED)


def goal_reward(position: FloatArray, goal: FloatArray, squared: bool) -> FloatArray:
    """-‖p - g‖, or its square, over the last axis: [..., 2] and [..., 2] to [...]."""
    squares = np.square(position - goal).sum(axis=-1)
    return -(squares if squared else np.sqrt(squares))


def reached(position: FloatArray, goal: FloatArray) -> BoolArray:
    """Whether |p - g| < 0.01 on both axes: [..., 2] and [..., 2] to [...]."""
    return np.all(np.abs(position - goal) < GOAL_TOLERANCE, axis=-1)


def spaces() -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    """Observation space (position, float64) and action space (velocity, float32)."""
    return (
        gymnasium.spaces.Box(-np.inf, np.inf, shape=(2,), dtype=np.float64),
        gymnasium.spaces.Box(-MAX_SPEED, MAX_SPEED, shape=(2,), dtype=np.float32),
    )


class Navigation2DEnv(gymnasium.Env[FloatArray, FloatArray]):
    """A point in the plane.

    Dynamics: starts at the origin; p' = p + clip(a, ±0.1) per axis ([MAML] §5.3).
    Observation: p, float64 [2]; the goal is not observed.
    Action: velocity [2] in units per step; larger ones are clipped.
    Reward: after the move -‖p' - g‖, as in [MAML]'s code, or `squared`, as in its text.
    Ends: terminated within 0.01 of the goal on each axis ([MAML]); truncated after 100 steps by
        the registration.
    Goal: `reset(options={"goal": [x, y]})`; it stays for later resets that name none. The first
        one is (0.5, 0.5) (choice: the centre of one mode). The mixture of goals lives in data/.
    Rendering: `rgb_array`, goal red, trail and position blue.

    Raises:
        ValueError: an action or goal that is not finite or not of shape (2,).
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, render_mode: str | None = None, squared: bool = False) -> None:
        self.squared = squared
        self.observation_space, self.action_space = spaces()
        self.render_mode = render_mode
        self.goal = np.array(DEFAULT_GOAL)
        self._trail = [np.zeros(2)]

    @property
    def position(self) -> FloatArray:
        """Current position [2] (a copy)."""
        return self._trail[-1].copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Back to the origin; see the class for `options["goal"]`."""
        super().reset(seed=seed)
        self.goal = goal_of(options, self.goal)
        self._trail = [np.zeros(2)]
        return self.position, {}

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """One move; see the class."""
        self._trail.append(move(self._trail[-1], finite_array(action, (2,), "action")))
        reward = float(goal_reward(self._trail[-1], self.goal, self.squared))
        return self.position, reward, bool(reached(self._trail[-1], self.goal)), False, {}

    def render(self) -> Frame | None:
        """The episode so far as an RGB frame, or None without a render mode."""
        if self.render_mode is None:
            return None
        extent = max(1.0, 2.0 * np.abs(self.goal).max())
        return draw_navigation(np.array(self._trail), self.goal, extent=extent)
