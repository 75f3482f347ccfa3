"""Fast weights kept as they are, one tensor per parameter: the form that fits every layer."""

from typing import NamedTuple, Self

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import WeightGradient


class TaskWeights(NamedTuple):
    """A layer's parameters theta'_j, one set per task.

    Attributes:
      parts: one tensor per parameter, [1, ...] before the first step (theta itself, shared by all
        tasks) and [tasks, ...] after it.
    """

    parts: tuple[tf.Tensor, ...]

    @classmethod
    def prior(cls, *variables: keras.Variable) -> Self:
        """The weights before any gradient step: theta itself."""
        return cls(tuple(tf.convert_to_tensor(variable)[None] for variable in variables))

    def updated(self, gradient: WeightGradient, step_size: float | tf.Tensor) -> Self:
        """theta' - step_size * gradient. `step_size` is a scalar or [tasks]."""
        return type(self)(
            tuple(
                part - tf.reshape(step_size, [-1] + [1] * (part.shape.rank - 1)) * change
                for part, change in zip(self.parts, gradient.parts, strict=True)
            )
        )
