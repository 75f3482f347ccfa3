"""A classifier on all training classes, given a new head for every task."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast
from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.all_classes import AllClasses
from mmaml_tf.learners.gradient_based import GradientBased
from mmaml_tf.methods import register
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.tasks import Examples, TaskBatch


@register("finetune", "classification")
class FineTuned(GradientBased):
    """What one would do without meta-learning: learn to tell all classes apart, then, for a task,
    replace the head by zeros and descend on the support set ([MAML] 5.2; the head's start: choice).

    Args:
      model: the network; its last layer is the head of a task, which is not trained.
      num_classes: that it is trained on: training tasks are labelled by these.
      **settings: see `GradientBased`; the steps are those of the fine-tuning.
    """

    SETTINGS = ("inner_loop", "classes")
    # As in the code that [MAML]'s figure of Mini-ImageNet is of (Ravi & Larochelle 2017).
    PUBLISHED = dict.fromkeys(("omniglot", "image_sets"), dict(eval_steps=15))
    trains_on_classes = True
    adapts_in_training = False

    def __init__(self, model: keras.Model, *, num_classes: int, **settings: Any):
        super().__init__(model, **settings)
        body = TaskNetwork(keras.Model(model.inputs, model.layers[-1].input))
        self.classes = AllClasses(body, num_classes)

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """The body and the head of all classes."""
        return [self.classes.variables_to_train()]

    def meta_loss(self, batch: TaskBatch, tau: Tau = None) -> tuple[tf.Tensor, tf.Tensor]:
        """See `AllClasses.losses`."""
        return self.classes.losses(batch)

    test_loss = GradientBased.meta_loss

    def prior(self, support: Examples, num_steps: int, mode: tf.Tensor | None = None) -> Fast:
        """The body and a head of zeros."""
        *body, head = super().prior(support, num_steps, mode)
        return [*body, type(head)(tuple(tf.zeros_like(part) for part in head.parts))]
