"""Plays batches of episodes: one policy call and one environment call per step for all of them."""

from collections.abc import Callable, Sequence

import gymnasium
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mmaml_tf.envs.goal_vector_env import GoalVectorEnv
from mmaml_tf.envs.own_vector import make_batch
from mmaml_tf.errors import NonFiniteLossError, RunError
from mmaml_tf.rl.rollouts import Rollouts

Policy = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
Witness = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.bool_]], None]

# Above this share of a batch's episodes, divergence is no accident but the policy's doing.
MAX_DIVERGED = 0.1


class Sampler:
    """Episodes of an environment, played in batches.

    Policies act in [-1, 1] per axis, which is stretched to the environment's action bounds (so does
    [MAML]'s code); what lies beyond is clipped by the environment alone.

    Args:
      env_id: a registered environment whose reset takes a goal (`mmaml_tf.envs.own_vector`).
      goal: any goal of its, [dim].
      observes_goal: append the goal to every observation (the oracle).
      vectorization: "sync" or "async", where it has no batched twin: see `OwnVectorEnv`.

    Raises:
      RunError: if the environment can't be made, or is not fit to learn from.
    """

    def __init__(
        self,
        env_id: str,
        goal: npt.NDArray[np.float64],
        observes_goal: bool = False,
        vectorization: str = "sync",
    ):
        self.env_id = env_id
        self.goal = goal
        self.vectorization = vectorization
        self.observes_goal = observes_goal
        self._envs: dict[int, GoalVectorEnv] = {}
        env = self._env(1)
        bounds = env.single_action_space
        assert isinstance(bounds, gymnasium.spaces.Box) and env.single_observation_space.shape
        self.horizon = env.max_episode_steps
        self.action_size = bounds.shape[0]
        self.action_center = (bounds.high + bounds.low) / 2
        self.action_scale = (bounds.high - bounds.low) / 2
        self.observation_size = env.single_observation_space.shape[0]
        if observes_goal:
            self.observation_size += env.goals.shape[1]

    def play(
        self,
        policy: Policy,
        goals: npt.NDArray[np.float64],
        num_rollouts: int,
        rngs: Sequence[np.random.Generator],
        witness: Witness | None = None,
    ) -> tuple[Rollouts, int]:
        """Plays `num_rollouts` episodes of every task.

        Args:
          policy: observations [tasks, rollouts, obs] -> means and log sigmas
            [tasks, rollouts, 2 act].
          goals: one per task, [tasks, dim].
          num_rollouts: per task.
          rngs: each task's own, of its initial states and action noise: equal generators give equal
            episodes.
          witness: told of every step: the actions [tasks, rollouts, act], the rewards and whether
            the episodes are over [tasks, rollouts].

        Returns:
          The episodes, and how many of them were cut because their simulation diverged.

        Raises:
          NonFiniteLossError: if the policy's actions are not finite.
          RunError: if more than a tenth of the simulations diverged.
        """
        num_tasks = len(goals)
        batch = (num_tasks, num_rollouts)
        env = self._env(num_tasks * num_rollouts)
        goals = np.repeat(goals, num_rollouts, axis=0)
        diverged_before = env.num_diverged
        observed = self._start(env, goals, rngs)
        shape = (self.horizon, num_rollouts, self.action_size)
        noise = np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in rngs], 1)
        observations = np.zeros((*batch, self.horizon, self.observation_size), np.float32)
        actions = np.zeros((*batch, self.horizon, self.action_size), np.float32)
        rewards = np.zeros((*batch, self.horizon), np.float32)
        mask = np.zeros((*batch, self.horizon), np.float32)
        live = np.ones(len(goals), np.bool_)
        for step in range(self.horizon):
            now = self.observation(observed, goals).reshape(*batch, -1)
            mean, log_stddev = np.split(policy(now), 2, axis=-1)
            action = mean + np.exp(log_stddev) * noise[step]
            if not np.isfinite(action).all():
                raise NonFiniteLossError(
                    "the policy's actions are not finite; the last checkpoint is kept. A lower "
                    "--inner_lr may help"
                )
            observations[:, :, step], actions[:, :, step] = now, action
            mask[:, :, step] = live.reshape(batch)
            observed, reward, terminated, truncated, _ = env.step(
                self.environment_action(action).reshape(len(goals), -1)
            )
            rewards[:, :, step] = reward.reshape(batch)
            live = ~(terminated | truncated)
            if witness is not None:
                witness(action, reward.reshape(batch), ~live.reshape(batch))
            if not live.any():
                break
        diverged = env.num_diverged - diverged_before
        if diverged > MAX_DIVERGED * len(goals):
            raise RunError(
                f"{diverged} of {len(goals)} simulations diverged in one batch; the last "
                "checkpoint is kept. A lower --max_kl or --inner_lr may help"
            )
        played = Rollouts(*map(tf.convert_to_tensor, (observations, actions, rewards, mask)))
        return played, diverged

    def _start(
        self,
        env: GoalVectorEnv,
        goals: npt.NDArray[np.float64],
        rngs: Sequence[np.random.Generator],
    ) -> npt.NDArray[np.float64]:
        """New episodes, task by task, equally many of each; returns what is observed [n, ...]."""
        task_of = np.repeat(np.arange(len(rngs)), len(goals) // len(rngs))
        for task, rng in enumerate(rngs):
            options = {"goals": goals, "reset_mask": task_of == task}
            observed, _ = env.reset(seed=int(rng.integers(2**31)), options=options)
        return observed

    def observation(
        self, observed: npt.NDArray[np.float64], goals: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float32]:
        """What the policy sees: [n, ...] and goals [n, dim] -> [n, obs]."""
        if self.observes_goal:
            observed = np.concatenate([observed, goals], 1)
        return observed.astype(np.float32)

    def environment_action(self, action: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """From the policy's units, where the bounds are +-1, to the environment's: [..., act]."""
        return self.action_center + self.action_scale * action.astype(np.float64)

    def _env(self, num_envs: int) -> GoalVectorEnv:
        """The batched environment of this size, made once."""
        if num_envs not in self._envs:
            self._envs[num_envs] = make_batch(self.env_id, num_envs, self.goal, self.vectorization)
        return self._envs[num_envs]
