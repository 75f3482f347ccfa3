"""Task encoder and modulation network (parameters omega): from a support set to tau."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from mmaml_tf.layers.modulation import Modulation


@keras.saving.register_keras_serializable(package="mmaml_tf")  # Bidirectional copies it
class _LSTM(keras.layers.LSTM):
    """Keras's LSTM, unrolled where the sequence length is known.

    The few steps of a few-shot task run fastest unrolled, while an exported model must take any
    number of support points; the weights and results are the same. cuDNN is off because its
    kernels have no second derivative.
    """

    def __init__(self, units: int, **kwargs):
        kwargs["use_cudnn"] = False
        super().__init__(units, **kwargs)

    def inner_loop(self, sequences: tf.Tensor, *args, **kwargs) -> tuple:
        """Keras's loop over the sequence [batch, K, width]."""
        self.unroll = sequences.shape[1] is not None
        return super().inner_loop(sequences, *args, **kwargs)


class BiLSTMEncoder(keras.layers.Layer):
    """Reads the K support pairs (x, y) as a sequence and returns the task embedding v.

    Bidirectional LSTMs stacked; v = last output of the forward direction joined with the first
    output (the last computed) of the backward one, of the top layer [2019 code].

    Args:
      units: cell size of each direction; v has 2 * units numbers.
      num_layers: how many bidirectional layers.
    """

    def __init__(self, units: int = 40, num_layers: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.output_units = 2 * units
        self.layers = [
            keras.layers.Bidirectional(_LSTM(units, return_sequences=index < num_layers - 1))
            for index in range(num_layers)
        ]

    def build(self, input_shape: tuple) -> None:
        """Creates the LSTMs for pairs [tasks, K, in_dim + out_dim]."""
        width = input_shape[-1]
        for layer in self.layers:
            layer.build((None, None, width))
            width = self.output_units

    def call(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """x [tasks, K, in_dim], y [tasks, K, out_dim] -> v [tasks, 2 units]."""
        h = tf.concat([x, y], -1)
        for layer in self.layers:
            h = layer(h)
        return h


class ModulationNetwork(keras.layers.Layer):
    """One linear head per modulated block: v -> tau_1 ... tau_N.

    Args:
      modulation: says how many numbers a block needs.
      block_units: units (or channels) of each modulated block.
    """

    def __init__(self, modulation: Modulation, block_units: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self.heads = [keras.layers.Dense(modulation.num_parameters(u)) for u in block_units]

    def build(self, input_shape: tuple) -> None:
        """Creates the heads for embeddings [tasks, v_dim]."""
        for head in self.heads:
            head.build(input_shape)

    def call(self, embedding: tf.Tensor) -> list[tf.Tensor]:
        """v [tasks, v_dim] -> one tau [tasks, ...] per block."""
        return [head(embedding) for head in self.heads]
