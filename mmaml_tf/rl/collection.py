"""Adaptation by acting: trajectory, modulation, then rollouts and gradient steps in turn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mmaml_tf.rl.learner import Experience, MetaPolicy
from mmaml_tf.rl.rollouts import PolicyData, Rollouts
from mmaml_tf.rl.sampler import Policy, Sampler


class Collected(NamedTuple):
    """What a batch of tasks went through.

    Attributes:
      trajectories: of the unmodulated policy; None without encoder.
      rollouts: with theta' after 0, 1, ..., S steps.
      supports: what each step was taken on.
      fast: theta' after 0, 1, ..., S steps.
      tau: modulation parameters; None without encoder.
      embedding: v [tasks, v_dim]; None without encoder.
      diverged: episodes cut because their simulation diverged.
    """

    trajectories: Rollouts | None
    rollouts: list[Rollouts]
    supports: tuple[PolicyData, ...]
    fast: list[list[Any]]
    tau: list[tf.Tensor] | None
    embedding: tf.Tensor | None
    diverged: int

    def returns(self) -> npt.NDArray[np.float32]:
        """Each task's mean return after 0, 1, ..., S steps: [tasks, S + 1]."""
        return np.stack([rollouts.returns().numpy() for rollouts in self.rollouts], 1)


class Collector:
    """Lets a learner adapt to tasks by acting in them.

    Args:
      learner: built.
      sampler: of the learner's environment.
      num_rollouts: per task and gradient step.
      num_trajectories: of the unmodulated policy, per task, to infer tau from.
      discount: gamma.
      gae_lambda: lambda.
    """

    def __init__(
        self,
        learner: MetaPolicy,
        sampler: Sampler,
        num_rollouts: int,
        num_trajectories: int,
        discount: float,
        gae_lambda: float,
    ):
        self.learner = learner
        self.sampler = sampler
        self.num_rollouts = num_rollouts
        self.num_trajectories = num_trajectories
        self._outputs = tf.function(learner.outputs, reduce_retracing=True)
        self._modulate = tf.function(learner.modulate)
        self.inner_step = tf.function(learner.inner_step)
        self._prior = tf.function(learner.network.prior)
        self._data = tf.function(
            lambda rollouts: PolicyData.from_rollouts(rollouts, discount, gae_lambda)
        )

    def collect(
        self,
        goals: npt.NDArray[np.float64],
        learning_rates: Sequence[float],
        rng: np.random.Generator,
    ) -> Collected:
        """Adapts to a batch of tasks ([MuMoMAML] Algorithm 1 for reinforcement learning).

        Args:
          goals: one per task, [tasks, dim].
          learning_rates: alpha of each gradient step, as many as there are steps.
          rng: of all episodes.
        """
        prior = self._prior()
        trajectories, diverged = None, 0
        if self.learner.encoder is not None:
            trajectories, diverged = self.sampler.play(
                self.policy(prior, None), goals, self.num_trajectories, rng
            )
        tau, embedding = self._modulate(trajectories)
        rollouts, supports, trajectory = [], [], [prior]
        for learning_rate in (*learning_rates, None):
            played, cut = self.sampler.play(
                self.policy(trajectory[-1], tau), goals, self.num_rollouts, rng
            )
            rollouts.append(played)
            diverged += cut
            if learning_rate is not None:
                supports.append(self._data(played))
                alpha = tf.constant(learning_rate, tf.float32)
                trajectory.append(self.inner_step(trajectory[-1], tau, supports[-1], alpha))
        return Collected(
            trajectories, rollouts, tuple(supports), trajectory, tau, embedding, diverged
        )

    def experience(self, collected: Collected) -> Experience:
        """The same for a meta-update."""
        return Experience(
            collected.trajectories, collected.supports, self._data(collected.rollouts[-1])
        )

    def policy(self, fast: list[Any], tau: list[tf.Tensor] | None) -> Policy:
        """A policy for the sampler."""
        return lambda observations: self._outputs(observations, fast, tau).numpy()
