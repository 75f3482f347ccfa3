"""A task encoder for images."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.encoders import register
from mmaml_tf.networks.models import image_encoder
from mmaml_tf.networks.task_network import TaskNetwork


@register("images", "classification")
class ImageEncoder(keras.layers.Layer):
    """Embeds every support image by a conv net and averages: v = mean_k g(x_k) [2019 code].

    g is `networks.models.image_encoder`. Labels are not looked at: they name the classes of a task
    in no particular order (`labelled_images` looks at them). Batch norm takes its statistics from
    the task's own support images.

    Args:
      filters: channels of g's convolutions.
      units: width of v.
    """

    def __init__(
        self, filters: Sequence[int] = (32, 64, 128, 256), units: int = 128, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.output_units = units

    def build(self, x_shape: tuple, y_shape: tuple | None = None) -> None:
        """Creates g for images [tasks, K, height, width, channels]."""
        self.of_image = TaskNetwork(
            image_encoder(tuple(x_shape[2:]), self.filters, self.output_units)
        )
        self.of_image.build(x_shape)

    def call(self, x: tf.Tensor, y: tf.Tensor | None = None) -> tf.Tensor:
        """x [tasks, K, height, width, channels] -> v [tasks, units]; y (labels) is not used."""
        return tf.reduce_mean(self.of_image(x), 1)
