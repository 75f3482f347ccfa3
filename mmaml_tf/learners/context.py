"""A context vector adapts, and nothing else: [MAML] appendix C.2."""

from typing import Any

import keras

from mmaml_tf.layers.appended import ContextVector
from mmaml_tf.learners.gradient_based import GradientBased
from mmaml_tf.methods import register
from mmaml_tf.networks.copies import fresh

NAME = "context"


@register("context", "regression", "classification")
class Context(GradientBased):
    """f([x, z']; theta) with z' = z - alpha grad_z L: the steps change z, theta is the same in
    every task.

    Args:
      model: the base network. It is built anew, with freshly drawn weights, for inputs that are
        wider by z.
      context_size: numbers in z; for images, channels.
      **settings: see `GradientBased`.
    """

    SETTINGS: tuple[str, ...] = (*GradientBased.SETTINGS, "context")
    # A context vector is few numbers that start far from the loss: of 0.01, 0.1 and 1, the rate
    # with the lowest error on two modes after 6,000 iterations (1.11, 0.88, 0.93). The limit is
    # MuMoMAML's: no paper has these tasks (choice).
    PUBLISHED = {"regression": dict(inner_clip_norm=100.0, inner_lr=0.1)}

    def __init__(self, model: keras.Model, *, context_size: int = 5, **settings: Any):
        super().__init__(with_context(model, context_size), adapts=[NAME], **settings)


def with_context(model: keras.Model, size: int) -> keras.Model:
    """A new model of the same layers that sees z beside its input."""
    inputs = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype)
    seen = ContextVector(size, name=NAME)(inputs)
    wider = fresh(model, keras.Input(seen.shape[1:]))
    return keras.Model(inputs, wider(seen), name=model.name)
