"""Ordinary classification: what the baselines of images are trained by."""

import keras
import tensorflow as tf

from mmaml_tf.learners.losses import cross_entropy
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.tasks import TaskBatch


class AllClasses(keras.layers.Layer):
    """A linear head on a body, which tells all training classes apart.

    Args:
      body: images to vectors.
      num_classes: of all training tasks together; these are labelled by them.
    """

    def __init__(self, body: TaskNetwork, num_classes: int):
        super().__init__()
        self.body = body
        self.head = keras.layers.Dense(num_classes, name="classes")
        self.head.build(body.model.output_shape)
        self.built = True

    def losses(self, batch: TaskBatch) -> tuple[tf.Tensor, tf.Tensor]:
        """Each task's mean cross-entropy over all of its images, support and query: [tasks], twice,
        as a method's `meta_loss`."""
        x, y = batch.points()
        features, _ = self.body.forward(x, self.body.prior())
        losses = cross_entropy(y, self.head(features))
        return losses, losses

    def variables_to_train(self) -> list[keras.Variable]:
        """The body's, and the head's."""
        return [*self.body.model.trainable_variables, *self.head.trainable_variables]
