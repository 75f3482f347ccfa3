"""Multi-MAML: one MAML per mode."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast
from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.gradient_based import GradientBased
from mmaml_tf.methods import register
from mmaml_tf.tasks import Examples, TaskBatch


@register("multi_maml", "regression", "classification")
class MultiMAML(GradientBased):
    """The true mode of a task picks its model ([MuMoMAML] 4, an oracle).

    The M models train in one batched step, on tasks that are sorted by mode. The loss is a mean
    over all tasks, so each model's gradient carries a factor 1 / M, undone before it is clipped:
    every model trains as it would alone.

    Args:
      model: the base network; the other modes' are copies of it with draws of their own.
      num_modes: M.
      **settings: see `GradientBased`; rates are not learned, as they would be shared.
    """

    SETTINGS: tuple[str, ...] = (*GradientBased.SETTINGS, "modes")
    # The 90th percentile of a trained learner's gradient norms at the first inner step
    # (benchmarks/percentiles.py); its steps start from larger errors than MuMoMAML's. Without a
    # limit an inner loop diverged after 17,184 iterations.
    PUBLISHED = {"regression": dict(inner_clip_norm=450.0)}
    asks_for_modes = True

    def __init__(self, model: keras.Model, *, num_modes: int, **settings: Any):
        super().__init__(model, num_groups=num_modes, learned_rates=False, **settings)

    def prior(self, support: Examples, num_steps: int, mode: tf.Tensor | None = None) -> Fast:
        """theta of the task's mode."""
        return self.network.prior(mode, self.rows_seen(support, num_steps))

    def meta_loss(self, batch: TaskBatch, tau: Tau = None) -> tuple[tf.Tensor, tf.Tensor]:
        """See `GradientBased`.

        Raises:
          InvalidArgumentError: for tasks that are not sorted by mode, or not as many of each.
        """
        if self.map_tasks:
            return super().meta_loss(batch, tau)
        models = self.network.num_groups
        expected = tf.repeat(tf.range(models), tf.shape(batch.mode)[0] // models)
        message = "tasks must be sorted by mode, as many of each: see tasks.from_function"
        with tf.control_dependencies([tf.debugging.assert_equal(batch.mode, expected, message)]):
            return super().meta_loss(batch, tau)

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """theta of each model."""
        return self.network.groups

    def clip_meta_gradient(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Clips a model's gradient by the norm of its own, M times as large."""
        return super().clip_meta_gradient([self.network.num_groups * g for g in gradients])
