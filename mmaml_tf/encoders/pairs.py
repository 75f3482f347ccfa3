"""A task encoder that looks at all pairs of support points."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.encoders import register


@register("pairs", "regression")
class PairEncoder(keras.layers.Layer):
    """Looks at every ordered pair of support pairs; the order of the points does not matter.

    v = g(mean_ij f(x_i, y_i, x_j, y_j)), with f and g of two dense layers each (choice): two points
    say a slope, which a single one does not, and the mean is the same for any number of points.

    Args:
      units: width of all layers, and of v.
    """

    def __init__(self, units: int = 128, **kwargs: Any):
        super().__init__(**kwargs)
        self.output_units = units
        self.of_pairs = [keras.layers.Dense(units, activation="relu") for _ in range(2)]
        self.of_task = [
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(units),
        ]

    def build(self, x_shape: tuple, y_shape: tuple) -> None:
        """Creates the layers for pairs of x [tasks, K, in_dim] and y [tasks, K, out_dim]."""
        width = 2 * (x_shape[-1] + y_shape[-1])
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
