"""Task encoder of the Omniglot domain: a conv net over the support images [2019 code]."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from mmaml_tf.layers.batch_norm import FastScaleShift, normalised_conv
from mmaml_tf.layers.conv import FastConv2D


class ConvEncoder(keras.layers.Layer):
    """Embeds every support image and averages: v = mean_k g(x_k).

    g: 3x3 convs of stride 2 with batch norm and ReLU, the mean over positions, a dense layer with
    ReLU. Labels are not looked at: they name the classes of a task in no particular order. Batch
    norm takes its statistics from the task's own support images.

    Args:
      filters: channels of each conv.
      units: width of v.
    """

    def __init__(self, filters: Sequence[int] = (32, 64, 128, 256), units: int = 128, **kwargs):
        super().__init__(**kwargs)
        self.output_units = units
        self.convs = [FastConv2D(channels, strides=2) for channels in filters]
        self.scale_shifts = [FastScaleShift() for _ in filters]
        self.dense = keras.layers.Dense(units, activation="relu")

    def build(self, input_shape: tuple) -> None:
        """Creates the layers for images [tasks, K, height, width, channels]."""
        shape = input_shape
        for conv, scale_shift in zip(self.convs, self.scale_shifts, strict=True):
            conv.build(shape)
            shape = (*shape[:-1], conv.filters)
            scale_shift.build(shape)
        self.dense.build((None, None, shape[-1]))

    def call(self, x: tf.Tensor, y: tf.Tensor | None = None) -> tf.Tensor:
        """x [tasks, K, H, W, channels] -> v [tasks, units]; y (labels) is not used."""
        h = x
        for conv, scale_shift in zip(self.convs, self.scale_shifts, strict=True):
            h = tf.nn.relu(normalised_conv(conv, h, conv.prior(), *scale_shift.prior().parts))
        return tf.reduce_mean(self.dense(tf.reduce_mean(h, [2, 3])), 1)
