"""ANIL: almost no inner loop. [ANIL]"""

from typing import Any

import keras

from mmaml_tf.learners.gradient_based import GradientBased
from mmaml_tf.methods import register


@register("anil", "regression", "classification")
class ANIL(GradientBased):
    """MAML whose gradient steps change the last layer alone (Raghu et al. 2020, arXiv:1909.09157).

    Args:
      model: the base network; its head is the last layer that has weights.
      **settings: see `GradientBased`.
    """

    # MuMoMAML's limit: no paper has these tasks (choice).
    PUBLISHED = {"regression": dict(inner_clip_norm=100.0)}

    def __init__(self, model: keras.Model, **settings: Any):
        head = [layer for layer in model.layers if layer.trainable_variables][-1:]
        super().__init__(model, adapts=[layer.name for layer in head], **settings)
