"""The nearest support image, by the features of a classifier of all classes."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.learners.all_classes import AllClasses
from mmaml_tf.learners.metric import ABSENT, MetricLearner
from mmaml_tf.methods import register
from mmaml_tf.tasks import Examples, TaskBatch


@register("nearest_neighbour", "classification")
class NearestNeighbour(MetricLearner):
    """A query has the class of the support image whose features are nearest ([MAML] 5.2), by their
    cosine, as in the code that its figures are of (Ravi & Larochelle 2017).

    Args:
      model: images to features, which are trained as a classifier's last but one layer.
      num_classes: that it is trained on: training tasks are labelled by these.
      **settings: see `MetricLearner`.
    """

    SETTINGS = ("ways", "classes")
    trains_on_classes = True

    def __init__(self, model: keras.Model, *, num_classes: int, **settings: Any):
        super().__init__(model, **settings)
        self.classes = AllClasses(self.network, num_classes)

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """See `MetaLearner`."""
        return [self.classes.variables_to_train()]

    def meta_loss(self, batch: TaskBatch, tau: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """See `AllClasses.losses`."""
        return self.classes.losses(batch)

    test_loss = MetricLearner.meta_loss

    def answer(self, support: Examples, queries: tf.Tensor) -> tf.Tensor:
        """The cosine with each class's nearest image."""
        directions = [tf.math.l2_normalize(part, -1) for part in (queries, support.x)]
        nearness = tf.matmul(*directions, transpose_b=True)  # [tasks, N, K]
        members = tf.one_hot(support.y, self.num_ways, True, False, axis=1, dtype=tf.bool)
        absent = tf.constant(ABSENT, nearness.dtype)
        of_class = tf.where(members[:, None], nearness[:, :, None], absent)
        return tf.reduce_max(of_class, -1)
