"""Batch norm for a batch of tasks: every task is normalised by statistics of its own.

There are no running averages anywhere. Where the statistics of a query pass come from the query
set itself, a prediction depends on the other queries of its task: the *transductive* setting of
[MAML] and [MuMoMAML]. With `num_rows=K` they come from the first K rows instead.
"""

import tensorflow as tf

from mmaml_tf.layers.conv import FastConv2D
from mmaml_tf.layers.dense import FastLayer
from mmaml_tf.layers.materialised import TaskWeights

EPSILON = 1e-3


class FastScaleShift(FastLayer):
    """The learned half of a batch norm: a scale and a shift per channel, one set per task."""

    def build(self, input_shape: tuple) -> None:
        """Creates scale (ones) and shift (zeros), [channels]."""
        channels = input_shape[-1:]
        self.scale = self.add_weight(name="scale", shape=channels, initializer="ones")
        self.shift = self.add_weight(name="shift", shape=channels, initializer="zeros")

    def prior(self, groups: tf.Tensor | None = None) -> TaskWeights:
        """theta as fast weights.

        Raises:
          ValueError: if groups are given: there is one set of slow weights.
        """
        if groups is not None:
            raise ValueError("batch norm has one set of slow weights, not one per mode")
        return TaskWeights.prior(self.scale, self.shift)


def normalised_conv(
    conv: FastConv2D,
    x: tf.Tensor,
    kernel: TaskWeights,
    scale: tf.Tensor,
    shift: tf.Tensor,
    num_rows: int | tf.Tensor | None = None,
) -> tf.Tensor:
    """scale (z - mean) / sqrt(variance + epsilon) + shift, where z = x * W', per task and channel.

    Two computations with the same result. Few inputs and many filters, as in the first layer of a
    network of grey images, leave most of the time to the passes over z. There z is never formed:
    its statistics follow from those of the image patches p,

        mean = E[p] W',   variance = diag(W'^T Cov[p] W'),

    and all that is done to it per channel goes into the kernel and a bias.

    Args:
      conv: the layer.
      x: [tasks, N, H, W, channels].
      kernel: the layer's fast weights.
      scale: [tasks or 1, filters].
      shift: [tasks or 1, filters].
      num_rows: mean and variance are taken over the first so many of the N rows (and all
        positions); None for all.

    Returns:
      [tasks, N, H', W', filters].
    """
    if conv.kernel_size**2 * x.shape[-1] < conv.filters:
        return _from_patches(conv, x, kernel, scale, shift, num_rows)
    # Not tf.nn.moments: it stops the gradient at the mean inside the variance, which the first
    # derivative does not need and the second does.
    z = conv(x, kernel)
    axes = [1, 2, 3]
    mean = tf.reduce_mean(z if num_rows is None else z[:, :num_rows], axes, keepdims=True)
    centred = z - mean
    rows = centred if num_rows is None else centred[:, :num_rows]
    variance = tf.reduce_mean(rows**2, axes)
    gain = scale * tf.math.rsqrt(variance + EPSILON)
    return centred * gain[:, None, None, None] + shift[:, None, None, None]


def _from_patches(
    conv: FastConv2D,
    x: tf.Tensor,
    kernel: TaskWeights,
    scale: tf.Tensor,
    shift: tf.Tensor,
    num_rows: int | tf.Tensor | None,
) -> tf.Tensor:
    """`normalised_conv` without a pass over the convolution's output."""
    patches, sizes = conv.patches(x)
    rows = patches if num_rows is None else patches[:, : num_rows * sizes[2] * sizes[3]]
    mean = tf.reduce_mean(rows, 1, keepdims=True)
    centred = rows - mean
    count = tf.cast(tf.shape(rows)[1], rows.dtype)
    covariance = tf.matmul(centred, centred, transpose_a=True) / count
    (weights,) = kernel.parts
    weights = tf.reshape(weights, [-1, patches.shape[-1], conv.filters])
    variance = tf.reduce_sum(weights * tf.matmul(covariance, weights), 1)
    weights *= (scale * tf.math.rsqrt(variance + EPSILON))[:, None]
    bias = shift[:, None] - tf.matmul(mean, weights)
    # A column of ones brings the bias: no pass over the output for it, in either direction.
    patches = tf.concat([patches, tf.ones_like(patches[..., :1])], -1)
    z = tf.matmul(patches, tf.concat([weights, bias], 1))
    return tf.reshape(z, tf.concat([sizes, [conv.filters]], 0))
