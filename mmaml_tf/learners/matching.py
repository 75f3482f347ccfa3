"""Matching networks: a query's class is that of the support images that it looks like."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.learners.metric import ABSENT, MetricLearner
from mmaml_tf.methods import register
from mmaml_tf.tasks import Examples


@register("matching", "classification")
class MatchingNetworks(MetricLearner):
    """p(y = n | x) = sum of a(x, x_k) over the support images of class n, where a is the softmax of
    c cos(f(x), f(x_k)) (Vinyals et al. 2016, arXiv:1606.04080; without full context embeddings).

    The paper has no factor c. Without one the loss of five classes can't fall below 0.90 where
    features are not negative, and that of twenty not below 2.08, so that c is learned (choice;
    Gidaris & Komodakis 2018, arXiv:1804.09458).

    Args:
      model: the embedding f: images to vectors.
      num_ways: N, classes per task.
      cosine_scale: where c starts; None for the paper's plain cosines.
      **settings: see `MetricLearner`.
    """

    SETTINGS: tuple[str, ...] = (*MetricLearner.SETTINGS, "cosines")

    def __init__(
        self,
        model: keras.Model,
        *,
        num_ways: int,
        cosine_scale: float | None = 10.0,
        **settings: Any,
    ):
        super().__init__(model, num_ways=num_ways, **settings)
        self.scale: keras.Variable | None = None
        if cosine_scale is not None:
            start = keras.initializers.Constant(cosine_scale)
            self.scale = self.add_weight(name="cosine_scale", shape=(), initializer=start)

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """See `MetaLearner`; c goes with theta."""
        theta, *others = super().parameter_groups()
        return [[*theta, *([] if self.scale is None else [self.scale])], *others]

    def similarity(self, support: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """What a is the softmax of: [tasks, K, units] and [tasks, N, units] -> [tasks, N, K]."""
        cosines = tf.matmul(_unit(queries), _unit(support), transpose_b=True)
        return cosines if self.scale is None else self.scale * cosines

    def answer(self, support: Examples, queries: tf.Tensor) -> tf.Tensor:
        """log p: its softmax is p again."""
        similarity = self.similarity(support.x, queries)[..., None]
        is_member = tf.one_hot(support.y, self.num_ways, True, False, dtype=tf.bool)[:, None]
        of_class = tf.where(is_member, similarity, tf.constant(ABSENT, similarity.dtype))
        return tf.reduce_logsumexp(of_class, 2) - tf.reduce_logsumexp(similarity, 2)


def _unit(vectors: tf.Tensor) -> tf.Tensor:
    # With the root's derivative at zero left out.
    squared = tf.reduce_sum(vectors**2, -1, keepdims=True)
    return vectors * tf.math.rsqrt(tf.maximum(squared, tf.constant(1e-12, squared.dtype)))
