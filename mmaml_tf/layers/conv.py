"""2D convolutions: one ordinary convolution for one kernel, image patches for one per task.

Which it is, is known when the graph is built. One kernel (theta shared by all tasks, or a batch of
one task) is one ordinary convolution. One kernel per task is a batched product of image patches and
kernels: a GPU runs it at full width, while on a CPU a loop over tasks is faster (`task_mapping`).
"""

import tensorflow as tf
from keras.layers import Conv2D

from mmaml_tf.layers.modulation import over_positions
from mmaml_tf.layers.rules import LayerCall, has_own_weights, rule_for


def is_plain(layer: Conv2D) -> bool:
    """Whether the layer has what is done here: no groups of channels, channels last."""
    return layer.groups == 1 and layer.data_format == "channels_last" and has_own_weights(layer)


@rule_for(Conv2D, fits=is_plain)
def conv2d(call: LayerCall, x: tf.Tensor) -> tf.Tensor:
    """a(modulation(x * W' + b')): [tasks, N, H, W, channels] -> [tasks, N, H', W', filters]."""
    kernel, *bias = call.weights
    z = convolved(call.layer, x, kernel)
    if bias:
        z += over_positions(bias[0], z)
    return call.layer.activation(call.modulated(z))


def convolved(layer: Conv2D, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """x * W', a cross-correlation.

    Args:
      layer: says strides, padding and dilation.
      x: [tasks, N, H, W, channels].
      kernel: [1 or tasks, height, width, channels, filters].

    Returns:
      [tasks, N, H', W', filters].
    """
    # TensorFlow's own has no gradient on a CPU where it is dilated.
    if kernel.shape[0] == 1 and max(layer.dilation_rate) == 1:
        images = tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], 0))
        z = tf.nn.conv2d(images, tf.squeeze(kernel, 0), layer.strides, layer.padding.upper())
        return tf.reshape(z, tf.concat([tf.shape(x)[:2], tf.shape(z)[1:]], 0))
    columns, sizes = patches(layer, x)
    z = tf.matmul(columns, tf.reshape(kernel, [-1, columns.shape[-1], layer.filters]))
    return tf.reshape(z, tf.concat([sizes, [layer.filters]], 0))


def patches(layer: Conv2D, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What each output position sees.

    Slices rather than `tf.image.extract_patches`, whose gradient is a sparse product.

    Returns:
      [tasks, N * H' * W', height * width * channels], and the sizes (tasks, N, H', W').
    """
    (rows, above_below), (columns, left_right) = (
        _geometry(layer, axis, x.shape[2 + axis]) for axis in (0, 1)
    )
    if any(above_below + left_right):
        x = tf.pad(x, [(0, 0), (0, 0), above_below, left_right, (0, 0)])
    (down, across), (step_down, step_across) = layer.strides, layer.dilation_rate
    views = [
        x[
            :,
            :,
            i * step_down : i * step_down + down * (rows - 1) + 1 : down,
            j * step_across : j * step_across + across * (columns - 1) + 1 : across,
        ]
        for i in range(layer.kernel_size[0])
        for j in range(layer.kernel_size[1])
    ]
    sizes = tf.concat([tf.shape(x)[:2], [rows, columns]], 0)
    seen = tf.concat(views, -1)
    return tf.reshape(seen, tf.stack([sizes[0], -1, seen.shape[-1]])), sizes


def _geometry(layer: Conv2D, axis: int, size: int) -> tuple[int, tuple[int, int]]:
    """Along one axis: the output's size, and the zeros before and after the image.

    As TensorFlow's "SAME": the odd zero comes last.
    """
    stride = layer.strides[axis]
    span = layer.dilation_rate[axis] * (layer.kernel_size[axis] - 1) + 1
    if layer.padding == "valid":
        return (size - span) // stride + 1, (0, 0)
    out = -(-size // stride)
    total = max((out - 1) * stride + span - size, 0)
    return out, (total // 2, total - total // 2)
