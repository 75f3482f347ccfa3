"""Normalisation layers: every task is normalised by statistics of its own.

Batch norm has no running averages anywhere. Where the statistics of a query pass come from the
query set itself, a prediction depends on the other queries of its task: the *transductive* setting
of [MAML] and [MuMoMAML]. With `num_rows=K` they come from the first K rows instead.

Mean and variance are written out. `tf.nn.moments`, which Keras calls, stops the gradient at the
mean inside the variance: the first derivative does not need it, and the second does.
"""

import math
from typing import Any, TypeAlias

import keras
import tensorflow as tf
from keras.layers import BatchNormalization, GroupNormalization, LayerNormalization

from mmaml_tf.layers import conv
from mmaml_tf.layers.modulation import over_positions
from mmaml_tf.layers.rules import LayerCall, rule_for

# A tensor [1 or tasks, channels], or a number where the layer has none.
Factor: TypeAlias = Any


def _normalises_channels(layer: BatchNormalization | GroupNormalization) -> bool:
    return layer.axis in (-1, layer.input_spec.ndim - 1) and not getattr(layer, "renorm", False)


def _fits_the_conv(before: keras.layers.Conv2D, layer: BatchNormalization) -> bool:
    return (
        conv.is_plain(before)
        and not before.use_bias
        and before.activation is keras.activations.linear
        and bool(before.trainable_variables)
        and _normalises_channels(layer)
    )


@rule_for(BatchNormalization, fits=_normalises_channels)
def batch_norm(call: LayerCall, x: tf.Tensor) -> tf.Tensor:
    """scale (x - mean) / sqrt(variance + epsilon) + shift, per task and channel."""
    scale, shift = call.with_affine_modulation(*_scale_and_shift(call))
    return call.modulated(_normalised(call, x, scale, shift))


@rule_for(BatchNormalization, after=keras.layers.Conv2D, fits=_fits_the_conv)
def conv_batch_norm(call: LayerCall, x: tf.Tensor) -> tf.Tensor:
    """Batch norm of x * W', [tasks, N, H, W, channels].

    Two computations with the same result. Few inputs and many filters, as in the first layer of a
    network of grey images, leave most of the time to the passes over z = x * W'. There z is never
    formed: its statistics follow from those of the image patches p,

        mean = E[p] W',   variance = diag(W'^T Cov[p] W'),

    and all that is done to it per channel goes into the kernel and a bias.
    """
    layer = call.before
    (kernel,) = call.weights_of(layer).parts
    scale, shift = call.with_affine_modulation(*_scale_and_shift(call))
    if math.prod(layer.kernel_size) * x.shape[-1] < layer.filters:
        return call.modulated(_from_patches(call, x, kernel, scale, shift))
    z = conv.convolved(layer, x, kernel)
    return call.modulated(_normalised(call, z, scale, shift))


def _scale_and_shift(call: LayerCall) -> tuple[Factor, Factor]:
    """Of the layer, [1 or tasks, channels]; 1 and 0 where it has none."""
    parts = iter(call.weights)
    scale = next(parts) if call.layer.scale else 1.0
    return scale, next(parts) if call.layer.center else 0.0


def _normalised(call: LayerCall, x: tf.Tensor, scale: Factor, shift: Factor) -> tf.Tensor:
    num_rows, axes = call.num_rows, list(range(1, x.shape.rank - 1))
    mean = tf.reduce_mean(x if num_rows is None else x[:, :num_rows], axes, keepdims=True)
    centred = x - mean
    rows = centred if num_rows is None else centred[:, :num_rows]
    gain = scale * tf.math.rsqrt(tf.reduce_mean(rows**2, axes) + call.layer.epsilon)
    z = centred * over_positions(gain, x)
    return z + over_positions(shift, x) if tf.is_tensor(shift) else z


def _from_patches(
    call: LayerCall, x: tf.Tensor, kernel: tf.Tensor, scale: Factor, shift: Factor
) -> tf.Tensor:
    """Convolution and batch norm without a pass over the convolution's output."""
    filters, num_rows = call.before.filters, call.num_rows
    patches, sizes = conv.patches(call.before, x)
    rows = patches if num_rows is None else patches[:, : num_rows * sizes[2] * sizes[3]]
    mean = tf.reduce_mean(rows, 1, keepdims=True)
    centred = rows - mean
    count = tf.cast(tf.shape(rows)[1], rows.dtype)
    covariance = tf.matmul(centred, centred, transpose_a=True) / count
    weights = tf.reshape(kernel, [-1, patches.shape[-1], filters])
    variance = tf.reduce_sum(weights * tf.matmul(covariance, weights), 1)
    weights *= (scale * tf.math.rsqrt(variance + call.layer.epsilon))[:, None]
    bias = -tf.matmul(mean, weights)
    if tf.is_tensor(shift):
        bias += shift[:, None]
    # A column of ones brings the bias: no pass over the output for it, in either direction.
    patches = tf.concat([patches, tf.ones_like(patches[..., :1])], -1)
    z = tf.matmul(patches, tf.concat([weights, bias], 1))
    return tf.reshape(z, tf.concat([sizes, [filters]], 0))


def _is_layer_norm(layer: LayerNormalization) -> bool:
    axes = _axes(layer)
    return not layer.rms_scaling and axes == sorted(axes) and min(axes) > 0


def _axes(layer: LayerNormalization) -> list[int]:
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    # Of the layer's input, [N, ...]; its rank is its output's.
    rank = len(layer.output.shape)
    return [axis % rank for axis in axes]


@rule_for(LayerNormalization, fits=_is_layer_norm)
def layer_norm(call: LayerCall, x: tf.Tensor) -> tf.Tensor:
    """scale (x - mean) / sqrt(variance + epsilon) + shift, per example, over the layer's axes."""
    axes = [axis + 1 for axis in _axes(call.layer)]
    z = _standardised(x, axes, call.layer.epsilon)
    scale, shift = _scale_and_shift(call)
    spread = [x.shape[axis] if axis in axes else 1 for axis in range(1, x.shape.rank)]
    if tf.is_tensor(scale):
        z *= tf.reshape(scale, [-1, *spread])
    if tf.is_tensor(shift):
        z += tf.reshape(shift, [-1, *spread])
    return call.modulated(z)


@rule_for(GroupNormalization, fits=_normalises_channels)
def group_norm(call: LayerCall, x: tf.Tensor) -> tf.Tensor:
    """As `layer_norm`, over the positions of an example and a group of its channels."""
    groups = call.layer.groups
    shape = tf.shape(x)
    grouped = tf.reshape(x, tf.concat([shape[:-1], [groups, x.shape[-1] // groups]], 0))
    axes = [*range(2, x.shape.rank - 1), x.shape.rank]
    z = tf.reshape(_standardised(grouped, axes, call.layer.epsilon), shape)
    scale, shift = call.with_affine_modulation(*_scale_and_shift(call))
    z = z * over_positions(scale, x) if tf.is_tensor(scale) else z
    return call.modulated(z + over_positions(shift, x) if tf.is_tensor(shift) else z)


def _standardised(x: tf.Tensor, axes: list[int], epsilon: float) -> tf.Tensor:
    centred = x - tf.reduce_mean(x, axes, keepdims=True)
    return centred * tf.math.rsqrt(tf.reduce_mean(centred**2, axes, keepdims=True) + epsilon)
