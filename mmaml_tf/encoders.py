"""Task encoder and modulation network (parameters omega): from a support set to tau."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from mmaml_tf.layers.modulation import Modulation
from mmaml_tf.networks.task_network import TaskNetwork


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


class PairEncoder(keras.layers.Layer):
    """Looks at every ordered pair of support pairs; the order of the points does not matter.

    v = g(mean_ij f(x_i, y_i, x_j, y_j)), with f and g of two dense layers each (choice): two points
    say a slope, which a single one does not, and the mean is the same for any number of points.

    Args:
      units: width of all layers, and of v.
    """

    def __init__(self, units: int = 128, **kwargs):
        super().__init__(**kwargs)
        self.output_units = units
        self.of_pairs = [keras.layers.Dense(units, activation="relu") for _ in range(2)]
        self.of_task = [
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(units),
        ]

    def build(self, input_shape: tuple) -> None:
        """Creates the layers for pairs [tasks, K, in_dim + out_dim]."""
        width = 2 * input_shape[-1]
        for layer in (*self.of_pairs, *self.of_task):
            layer.build((None, width))
            width = self.output_units

    def call(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """x [tasks, K, in_dim], y [tasks, K, out_dim] -> v [tasks, units]."""
        points = tf.concat([x, y], -1)
        num_points = tf.shape(points)[1]
        first = tf.repeat(points[:, :, None], num_points, 2)
        second = tf.repeat(points[:, None], num_points, 1)
        h = tf.concat([first, second], -1)
        for layer in self.of_pairs:
            h = layer(h)
        h = tf.reduce_mean(h, [1, 2])
        for layer in self.of_task:
            h = layer(h)
        return h


class ImageEncoder(keras.layers.Layer):
    """Embeds every support image by a Keras model and averages: v = mean_k g(x_k).

    Labels are not looked at: they name the classes of a task in no particular order. Batch norm
    takes its statistics from the task's own support images.

    Args:
      model: g, images [K, height, width, channels] -> [K, units].
    """

    def __init__(self, model: keras.Model, **kwargs):
        super().__init__(**kwargs)
        self.output_units = model.output_shape[-1]
        self.of_image = TaskNetwork(model)

    def build(self, input_shape: tuple) -> None:
        """Checks g for images [tasks, K, height, width, channels]."""
        self.of_image.build(input_shape)

    def call(self, x: tf.Tensor, y: tf.Tensor | None = None) -> tf.Tensor:
        """x [tasks, K, height, width, channels] -> v [tasks, units]; y (labels) is not used."""
        return tf.reduce_mean(self.of_image(x), 1)


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
