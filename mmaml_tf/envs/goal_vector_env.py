"""What the batched environments share: goals, horizon and the end of episodes."""

from abc import abstractmethod
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from mmaml_tf.envs.arguments import (
    BoolArray,
    FloatArray,
    check_options,
    environment_mask,
    finite_array,
)


class GoalVectorEnv(VectorEnv[FloatArray, FloatArray, np.ndarray]):
    """`num_envs` environments of a fixed horizon, each with its own goal.

    Autoreset is DISABLED: a batch of rollouts starts together and ends together, so nothing has to
    be cut apart afterwards. An environment whose episode has ended stays frozen: later steps
    repeat its last observation and its terminated and truncated flags, with reward zero, until it
    is reset. Sums of rewards over the horizon are therefore returns without any mask.

    `reset(seed=..., options={"goals": [num_envs, dim], "reset_mask": bool [num_envs]})`: both
    options may be left out. Goals stay for later resets that name none; with a mask only the
    masked environments start anew and take their goals. One generator serves all environments, so
    a run is repeated by one seed, and resumed from `np_random.bit_generator.state`.

    Observations, rewards and goals are float64; every array returned is the caller's to keep.

    Attributes:
        goals: [num_envs, dim].
        num_diverged: episodes cut since construction because their simulation diverged.

    Raises:
        ValueError: num_envs or max_episode_steps below 1; actions or goals that are not finite or
            not of the batched shape; unknown options.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": []}

    def __init__(
        self,
        num_envs: int,
        max_episode_steps: int,
        spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
        default_goal: tuple[float, ...],
    ) -> None:
        for name, value in (("num_envs", num_envs), ("max_episode_steps", max_episode_steps)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.single_observation_space, self.single_action_space = spaces
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.goals = np.tile(np.array(default_goal), (num_envs, 1))
        self.num_diverged = 0
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._terminated = np.zeros(num_envs, dtype=np.bool_)
        self._truncated = np.zeros(num_envs, dtype=np.bool_)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Starts new episodes; see the class. Returns observations [num_envs, ...] and infos."""
        options = check_options(options, ("goals", "reset_mask"))
        mask = environment_mask(options.get("reset_mask"), self.num_envs)
        if "goals" in options:
            goals = finite_array(options["goals"], self.goals.shape, "goals")
            self.goals = np.where(mask[:, np.newaxis], goals, self.goals)
        super().reset(seed=seed)
        self._steps[mask] = 0
        self._terminated[mask] = False
        self._truncated[mask] = False
        self._reset_states(mask)
        return self._observe(), self._reset_infos()

    def step(
        self, actions: FloatArray
    ) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """One step of every live environment, actions [num_envs, action size]; see the class."""
        actions = finite_array(actions, self.action_space.shape or (), "actions")
        live = ~(self._terminated | self._truncated)
        rewards, terminated, infos = self._advance(actions, live)
        self._steps += 1
        self._terminated |= live & terminated
        self._truncated |= live & (self._steps >= self.max_episode_steps)
        return (
            self._observe(),
            np.where(live, rewards, 0.0),
            self._terminated.copy(),
            self._truncated.copy(),
            infos,
        )

    @abstractmethod
    def _reset_states(self, mask: BoolArray) -> None:
        """Draws initial states for the masked environments from `np_random`."""

    @abstractmethod
    def _advance(
        self, actions: FloatArray, live: BoolArray
    ) -> tuple[FloatArray, BoolArray, dict[str, Any]]:
        """Moves the live environments only; returns rewards, terminated (both [num_envs], used
        where live) and infos."""

    @abstractmethod
    def _observe(self) -> FloatArray:
        """Observations of the current states [num_envs, ...], a new array."""

    def _reset_infos(self) -> dict[str, Any]:
        return {}
