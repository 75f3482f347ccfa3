"""Methods that compare a query with the support set, in a space that is meta-learned."""

from typing import Any

import keras

from mmaml_tf.learners.without_steps import WithoutSteps

# The logit of a class that has no support images.
ABSENT = -1e9


class MetricLearner(WithoutSteps):
    """Classifies by comparing embeddings.

    Args:
      model: the embedding f: images to vectors.
      num_ways: N, classes per task.
      loss: of logits, with integer labels.
      **settings: see `MetaLearner`.
    """

    SETTINGS: tuple[str, ...] = ("ways",)

    def __init__(
        self, model: keras.Model, *, num_ways: int, loss: Any = "cross_entropy", **settings: Any
    ):
        super().__init__(model, num_outputs=num_ways, loss=loss, **settings)
        self.num_ways = num_ways
