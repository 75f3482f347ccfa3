"""Prototypical networks: a class is the mean of its embedded images."""

import tensorflow as tf

from mmaml_tf.learners.metric import ABSENT, MetricLearner
from mmaml_tf.methods import register
from mmaml_tf.tasks import Examples


@register("protonet", "classification")
class ProtoNet(MetricLearner):
    """p(y = n | x) = softmax_n(-|f(x) - c_n|^2), c_n the mean of f over the class's support set
    (Snell et al. 2017, arXiv:1703.05175).

    Args: see `MetricLearner`.
    """

    def answer(self, support: Examples, queries: tf.Tensor) -> tf.Tensor:
        """Minus squared distances to the class means."""
        members = tf.one_hot(support.y, self.num_ways, axis=1, dtype=queries.dtype)
        counts = tf.reduce_sum(members, 2, keepdims=True)
        means = tf.matmul(members, support.x) / tf.maximum(counts, tf.ones([], counts.dtype))
        # -|q - c|^2, of which |q|^2 is the same for all classes and left out.
        logits = (
            2 * tf.matmul(queries, means, transpose_b=True) - tf.reduce_sum(means**2, -1)[:, None]
        )
        return tf.where(tf.linalg.matrix_transpose(counts) > 0, logits, ABSENT)
