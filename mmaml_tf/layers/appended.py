"""Keras layers that append a learned vector, which adapts with the rest, to every row."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import num_tasks_of, per_task
from mmaml_tf.layers.rules import LayerCall, rule_for


@keras.saving.register_keras_serializable(package="mmaml_tf")
class BiasTransformation(keras.layers.Layer):
    """[x, b]: gives the next layer a bias whose gradient is decoupled from the others'.

    From one-shot imitation learning (Finn et al. 2017b); methods without modulation use it in the
    regression tasks.

    Args:
      size: of b, which starts at zero ([2019 code]'s Multi-MAML draws it from N(0, 1)).
    """

    INITIALIZER: ClassVar[str] = "zeros"

    def __init__(self, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape: tuple) -> None:
        """Creates b, [..., size]: of an image, a number per position and channel."""
        shape = (*input_shape[1:-1], self.size)
        self.vector = self.add_weight(name="vector", shape=shape, initializer=self.INITIALIZER)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[N, ..., in] -> [N, ..., in + size]."""
        rows = tf.broadcast_to(self.vector, tf.concat([tf.shape(x)[:-1], [self.size]], 0))
        return tf.concat([x, rows], -1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """[N, ..., in + size]."""
        return (*input_shape[:-1], input_shape[-1] + self.size)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return super().get_config() | {"size": self.size}


@keras.saving.register_keras_serializable(package="mmaml_tf")
class LogStddev(BiasTransformation):
    """[mean, log sigma]: the spread of a Gaussian policy, the same in every state ([MAML]'s code).

    log sigma starts at zero, is part of theta and adapts with it.

    Args:
      size: numbers in an action.
    """


@keras.saving.register_keras_serializable(package="mmaml_tf")
class ContextVector(BiasTransformation):
    """[x, z]: z alone tells a network which task it is ([MAML] C.2).

    Args:
      size: numbers, or channels of an image, in z, which starts as a kernel would (its code).
    """

    INITIALIZER = "glorot_uniform"


@rule_for(BiasTransformation, LogStddev, ContextVector)
def appended(call: LayerCall, x: tf.Tensor) -> tf.Tensor:
    """[x, b'] with each task's own b': [tasks, N, ..., in] -> [tasks, N, ..., in + size]."""
    (vector,) = call.weights
    vector = per_task(vector, num_tasks_of(x))[:, None]
    shape = tf.concat([tf.shape(x)[:-1], [tf.shape(vector)[-1]]], 0)
    return tf.concat([x, tf.broadcast_to(vector, shape)], -1)
