"""Baselines that do not learn to learn: gradient steps on a task are taken at evaluation alone."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.gradient_based import GradientBased
from mmaml_tf.methods import register
from mmaml_tf.tasks import TaskBatch


@register("pretrained", "regression")
class Pretrained(GradientBased):
    """One network trained on all tasks at once, then fine-tuned ([MAML] 5.1).

    Args: see `GradientBased`; the steps are those of the fine-tuning.
    """

    SETTINGS: tuple[str, ...] = ("inner_loop",)
    adapts_in_training = False

    def meta_loss(self, batch: TaskBatch, tau: Tau = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of all of a task's points, none of them known to be its: [tasks], twice."""
        x, y = batch.points()
        outputs, _ = self.network.forward(x, self.network.prior(), tau)
        losses = self.task_loss(y, outputs)
        return losses, losses

    test_loss = GradientBased.meta_loss


@register("oracle", "regression")
class Oracle(Pretrained):
    """Told which function it is: its inputs are [x, parameters of the task], and it takes no steps.

    Args: see `MetaLearner`.
    """

    SETTINGS = ()
    observes_task = True

    def __init__(self, model: keras.Model, **settings: Any):
        super().__init__(model, inner_steps=0, **settings)


@register("random", "regression", "classification")
class Random(Pretrained):
    """An untrained network, fine-tuned: what gradient steps do without a prior."""

    PUBLISHED = dict.fromkeys(("omniglot", "image_sets"), dict(eval_steps=15))  # as `finetune`
    is_trained = False

    def train_step(self, batch: TaskBatch) -> dict[str, Any]:
        """Counts the iteration."""
        losses, _ = self.workers.mean(self.meta_loss(self.fitted(batch)))
        self.optimizer.iterations.assign_add(1)
        return self._running_means(losses, losses)
