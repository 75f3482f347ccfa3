"""2D navigation for many points at once, in NumPy."""

from typing import Any

import numpy as np

from mmaml_tf.envs.arguments import BoolArray, FloatArray, finite_array
from mmaml_tf.envs.goal_vector_env import GoalVectorEnv
from mmaml_tf.envs.navigation import DEFAULT_GOAL, goal_reward, move, reached, spaces


class Navigation2DVectorEnv(GoalVectorEnv):
    """The batched twin of `Navigation2DEnv`; episodes and goals as in `GoalVectorEnv`.

    Observations [num_envs, 2], actions [num_envs, 2], goals [num_envs, 2].
    """

    def __init__(
        self, num_envs: int = 1, max_episode_steps: int = 100, squared: bool = False
    ) -> None:
        self.squared = squared
        super().__init__(num_envs, max_episode_steps, spaces(), DEFAULT_GOAL)
        self._positions = np.zeros((num_envs, 2))

    @property
    def positions(self) -> FloatArray:
        """Current positions [num_envs, 2] (a copy)."""
        return self._positions.copy()

    def set_states(self, positions: FloatArray) -> None:
        """Puts the points at `positions` [num_envs, 2] without ending or starting an episode."""
        self._positions = finite_array(positions, (self.num_envs, 2), "positions")

    def _reset_states(self, mask: BoolArray) -> None:
        self._positions[mask] = 0.0

    def _advance(
        self, actions: FloatArray, live: BoolArray
    ) -> tuple[FloatArray, BoolArray, dict[str, Any]]:
        moved = move(self._positions, actions)
        self._positions = np.where(live[:, np.newaxis], moved, self._positions)
        rewards = goal_reward(self._positions, self.goals, self.squared)
        return rewards, reached(self._positions, self.goals), {}

    def _observe(self) -> FloatArray:
        return self._positions.copy()
