"""Matching networks: a query's class is that of the support images that it looks like."""

import keras
import tensorflow as tf

from mmaml_tf.learners.metric import MetricLearner
from mmaml_tf.methods import register
from mmaml_tf.tasks import Examples


@register("matching", "classification")
class MatchingNetworks(MetricLearner):
    """p(y = n | x) = sum of a(x, x_k) over the support images of class n, where a is the softmax of
    the cosine similarities of f(x) and f(x_k) (Vinyals et al. 2016, arXiv:1606.04080; without full
    context embeddings).

    Args: see `MetricLearner`.
    """

    def attention(self, support: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """a, which sums to one: [tasks, K, units] and [tasks, N, units] -> [tasks, N, K]."""
        similarity = tf.matmul(_unit(queries), _unit(support), transpose_b=True)
        return tf.nn.softmax(similarity)

    def answer(self, support: Examples, queries: tf.Tensor) -> tf.Tensor:
        """log p: its softmax is p again."""
        members = tf.one_hot(support.y, self.num_ways, dtype=queries.dtype)
        chance = tf.matmul(self.attention(support.x, queries), members)
        # A softmax of cosines is nowhere zero, but a class without support images has none.
        return tf.math.log(tf.maximum(chance, tf.constant(keras.config.epsilon(), chance.dtype)))


def _unit(vectors: tf.Tensor) -> tf.Tensor:
    # With the root's derivative at zero left out.
    squared = tf.reduce_sum(vectors**2, -1, keepdims=True)
    return vectors * tf.math.rsqrt(tf.maximum(squared, tf.constant(1e-12, squared.dtype)))
