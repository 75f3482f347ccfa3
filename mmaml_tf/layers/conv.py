"""Convolution with fast weights: one kernel per task."""

from collections.abc import Callable

import keras
import tensorflow as tf

from mmaml_tf.layers.dense import FastLayer
from mmaml_tf.layers.materialised import TaskWeights


class FastConv2D(FastLayer):
    """z = x * W'_j, a 2D cross-correlation with zero padding ("SAME") and a kernel per task.

    There is no bias: the layer is meant to stand before a batch norm, which would cancel it.

    Two computations with the same result, picked by the number of *kernels*, which is known when
    the graph is built. One kernel (theta shared by all tasks, or a batch of one task) is one
    ordinary convolution. One kernel per task is a batched product of image patches and kernels: a
    GPU runs it at full width, while on a CPU a loop over tasks is faster (`task_mapping`).

    Args:
      filters: output channels.
      kernel_size: height and width of the kernel.
      strides: step of the kernel in both directions.
      kernel_initializer: a Keras initializer, or its name.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        kernel_initializer: str | Callable = "glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple) -> None:
        """Creates the kernel [size, size, channels, filters] for [tasks, N, H, W, channels]."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], self.filters),
            initializer=self.kernel_initializer,
        )

    def output_size(self, size: int) -> int:
        """Height (or width) of the output for that of the input."""
        return -(-size // self.strides)

    def prior(self, groups: tf.Tensor | None = None) -> TaskWeights:
        """theta as fast weights.

        Raises:
          ValueError: if groups are given: there is one set of slow weights.
        """
        if groups is not None:
            raise ValueError("convolutions have one set of slow weights, not one per mode")
        return TaskWeights.prior(self.kernel)

    def call(self, x: tf.Tensor, fast: TaskWeights | None = None) -> tf.Tensor:
        """[tasks, N, H, W, channels] -> [tasks, N, H', W', filters]; by default with theta."""
        (kernel,) = (fast if fast is not None else self.prior()).parts
        if kernel.shape[0] == 1:
            z = tf.nn.conv2d(_merged(x), tf.squeeze(kernel, 0), self.strides, "SAME")
            return tf.reshape(z, tf.concat([tf.shape(x)[:2], tf.shape(z)[1:]], 0))
        columns, sizes = self.patches(x)
        z = tf.matmul(columns, tf.reshape(kernel, [-1, columns.shape[-1], self.filters]))
        return tf.reshape(z, tf.concat([sizes, [self.filters]], 0))

    def patches(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What each output position sees.

        Slices rather than `tf.image.extract_patches`, whose gradient is a sparse product.

        Returns:
          [tasks, N * H' * W', size * size * channels], and the sizes (tasks, N, H', W').
        """
        height, width, channels = x.shape[2:]
        rows, columns = self.output_size(height), self.output_size(width)
        x = tf.pad(x, [(0, 0), (0, 0), self._padding(height), self._padding(width), (0, 0)])
        offsets = range(self.kernel_size)
        views = [
            x[
                :,
                :,
                i : i + self.strides * (rows - 1) + 1 : self.strides,
                j : j + self.strides * (columns - 1) + 1 : self.strides,
            ]
            for i in offsets
            for j in offsets
        ]
        sizes = tf.concat([tf.shape(x)[:2], [rows, columns]], 0)
        patches = tf.concat(views, -1)
        width = self.kernel_size**2 * channels
        return tf.reshape(patches, tf.stack([sizes[0], -1, width])), sizes

    def _padding(self, size: int) -> tuple[int, int]:
        """Zeros before and after, as TensorFlow's "SAME": the odd one comes last."""
        total = (self.output_size(size) - 1) * self.strides + self.kernel_size - size
        total = max(total, 0)
        return total // 2, total - total // 2


def _merged(x: tf.Tensor) -> tf.Tensor:
    """[tasks, N, ...] -> [tasks * N, ...]."""
    return tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], 0))
