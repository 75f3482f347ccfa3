"""A task encoder for images that sees which class each of them is of."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmaml_tf.encoders import register
from mmaml_tf.encoders.images import ImageEncoder

CODE = 32  # numbers that say a label


@register("labelled_images", "classification")
class LabelledImageEncoder(keras.layers.Layer):
    """v = W mean_k g(x_k) c(y_k)^T, with g as in `ImageEncoder` and a fixed code c of labels
    (choice): the mean holds every class's mean image. The order of the examples does not matter.

    The codes are sines and cosines of CODE / 2 frequencies: orthogonal for as many classes as they
    have numbers, and there for any number of classes.

    Args:
      filters: channels of g's convolutions.
      units: width of g and of v.
    """

    def __init__(
        self, filters: Sequence[int] = (32, 64, 128, 256), units: int = 128, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.output_units = units
        self.of_images = ImageEncoder(filters, units)
        self.of_classes = keras.layers.Dense(units)

    def build(self, x_shape: tuple, y_shape: tuple | None = None) -> None:
        """Creates g for images [tasks, K, height, width, channels], and W."""
        self.of_images.build(x_shape)
        self.of_classes.build((None, self.output_units * CODE))

    def call(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """x [tasks, K, height, width, channels], y [tasks, K] (labels) -> v [tasks, units]."""
        features = self.of_images.of_image(x)
        bound = tf.einsum("tkf,tkc->tfc", features, label_code(y, features.dtype))
        bound /= tf.cast(tf.shape(y)[1], features.dtype)
        return self.of_classes(tf.reshape(bound, [-1, self.output_units * CODE]))


def label_code(y: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """sin(w y) and cos(w y) for CODE / 2 frequencies w: [tasks, K] to [tasks, K, CODE]."""
    frequencies = np.pi * (np.arange(CODE // 2) + 0.5) / (CODE // 2)
    angles = tf.cast(y, dtype)[..., None] * tf.constant(frequencies, dtype)
    return tf.concat([tf.sin(angles), tf.cos(angles)], -1)
