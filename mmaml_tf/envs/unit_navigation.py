"""2D navigation paid for the distance to the goal, as in [MAML]'s code (its text squares it)."""

from typing import Any

import numpy as np

from mmaml_tf.envs.arguments import BoolArray, FloatArray
from mmaml_tf.envs.navigation import Navigation2DEnv
from mmaml_tf.envs.navigation_vector import Navigation2DVectorEnv


def distance_reward(position: FloatArray, goal: FloatArray) -> FloatArray:
    """-‖p - g‖ over the last axis: [..., 2] and [..., 2] to [...]."""
    return -np.sqrt(np.square(position - goal).sum(axis=-1))


class UnitNavigationEnv(Navigation2DEnv):
    """`Navigation2DEnv` but for the reward, -‖p' - g‖."""

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """One move; see the class."""
        position, _, terminated, truncated, info = super().step(action)
        reward = float(distance_reward(position, self.goal))
        return position, reward, terminated, truncated, info


class UnitNavigationVectorEnv(Navigation2DVectorEnv):
    """The batched twin of `UnitNavigationEnv`."""

    def _advance(
        self, actions: FloatArray, live: BoolArray
    ) -> tuple[FloatArray, BoolArray, dict[str, Any]]:
        _, reached, infos = super()._advance(actions, live)
        return distance_reward(self._positions, self.goals), reached, infos
