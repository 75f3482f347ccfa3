"""What a policy experienced, and the same prepared for policy gradients. Shapes are documented."""

from typing import NamedTuple, Self

import tensorflow as tf

from mmaml_tf.rl.advantages import generalised_advantages, normalised
from mmaml_tf.tasks import Rollouts


class PolicyData(NamedTuple):
    """Steps to take a policy gradient on, N = rollouts * H of each task.

    Attributes:
      observations: [tasks, N, obs].
      actions: [tasks, N, act].
      advantages: normalised within the task, [tasks, N].
      weights: sum to one over each task's steps; zero where an episode had ended: [tasks, N].
    """

    observations: tf.Tensor
    actions: tf.Tensor
    advantages: tf.Tensor
    weights: tf.Tensor

    @classmethod
    def from_rollouts(cls, rollouts: Rollouts, discount: float, gae_lambda: float) -> Self:
        """Estimates the advantages and lays all steps of a task side by side."""
        advantages = normalised(
            generalised_advantages(
                rollouts.observations, rollouts.rewards, rollouts.mask, discount, gae_lambda
            ),
            rollouts.mask,
        )
        num_tasks = tf.shape(rollouts.rewards)[0]

        def steps(values: tf.Tensor) -> tf.Tensor:
            return tf.reshape(values, [num_tasks, -1, *values.shape[3:]])

        mask = steps(rollouts.mask)
        return cls(
            steps(rollouts.observations),
            steps(rollouts.actions),
            steps(advantages),
            mask / tf.reduce_sum(mask, 1, keepdims=True),
        )

    def every(self, stride: int) -> Self:
        """Each stride-th step, the weights summing to one again."""
        if stride == 1:
            return self
        thinned = type(self)(*(values[:, ::stride] for values in self))
        total = tf.reduce_sum(thinned.weights, 1, keepdims=True)
        return thinned._replace(weights=tf.math.divide_no_nan(thinned.weights, total))


class Experience(NamedTuple):
    """All that a meta-update looks at.

    Attributes:
      trajectories: of the unmodulated policy, from which tau is inferred; None without modulator.
      supports: D_train of each inner step, sampled with theta' before that step.
      query: D_val, sampled with theta' after the last step.
    """

    trajectories: Rollouts | None
    supports: tuple[PolicyData, ...]
    query: PolicyData

    def every(self, support_stride: int, query_stride: int) -> Self:
        """A share of the steps; the trajectories are kept whole."""
        return type(self)(
            self.trajectories,
            tuple(support.every(support_stride) for support in self.supports),
            self.query.every(query_stride),
        )
