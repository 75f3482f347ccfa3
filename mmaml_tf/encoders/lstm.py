"""A task encoder that reads the support set as a sequence, as published."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.encoders import register


@keras.saving.register_keras_serializable(package="mmaml_tf")  # Bidirectional copies it
class _LSTM(keras.layers.LSTM):
    """Keras's LSTM, unrolled where the sequence length is known.

    The few steps of a few-shot task run fastest unrolled, while an exported model must take any
    number of support points; the weights and results are the same. cuDNN is off because its
    kernels have no second derivative.
    """

    def __init__(self, units: int, **kwargs: Any):
        kwargs["use_cudnn"] = False
        super().__init__(units, **kwargs)

    def inner_loop(self, sequences: tf.Tensor, *args: Any, **kwargs: Any) -> tuple:
        """Keras's loop over the sequence [batch, K, width]."""
        self.unroll = sequences.shape[1] is not None
        try:
            return super().inner_loop(sequences, *args, **kwargs)
        finally:
            self.unroll = False  # or the next sequence would have to be of known length


@register("lstm", "regression")
class BiLSTMEncoder(keras.layers.Layer):
    """Reads the K support pairs (x, y) as a sequence and returns the task embedding v.

    Bidirectional LSTMs stacked; v = last output of the forward direction joined with the first
    output (the last computed) of the backward one, of the top layer [2019 code].

    Args:
      units: cell size of each direction; v has 2 * units numbers.
      num_layers: how many bidirectional layers.
    """

    def __init__(self, units: int = 40, num_layers: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.output_units = 2 * units
        self.layers = [
            keras.layers.Bidirectional(_LSTM(units, return_sequences=index < num_layers - 1))
            for index in range(num_layers)
        ]

    def build(self, x_shape: tuple, y_shape: tuple) -> None:
        """Creates the LSTMs for pairs of x [tasks, K, in_dim] and y [tasks, K, out_dim]."""
        width = x_shape[-1] + y_shape[-1]
        for layer in self.layers:
            layer.build((None, None, width))
            width = self.output_units

    def call(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """x [tasks, K, in_dim], y [tasks, K, out_dim] -> v [tasks, 2 units]."""
        h = tf.concat([x, y], -1)
        for layer in self.layers:
            h = layer(h)
        return h
