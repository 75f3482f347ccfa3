"""Batch norm for a batch of tasks: every task is normalised by statistics of its own.

There are no running averages anywhere. Where the statistics of a query pass come from the query
set itself, a prediction depends on the other queries of its task: the *transductive* setting of
[MAML] and [MuMoMAML]. `normalise(..., num_rows=K)` takes them from the first K rows instead.
"""

import tensorflow as tf

from mmaml_tf.layers.dense import FastLayer
from mmaml_tf.layers.fast_weights import WeightGradient
from mmaml_tf.layers.materialised import TaskWeights

EPSILON = 1e-3


def normalise(x: tf.Tensor, num_rows: int | tf.Tensor | None = None) -> tf.Tensor:
    """(x - mean) / sqrt(variance + epsilon), per task and channel.

    Args:
      x: [tasks, N, ..., channels].
      num_rows: mean and variance are taken over the first so many of the N rows (and all
        positions); None for all.
    """
    # Not tf.nn.moments: it stops the gradient at the mean inside the variance, which the first
    # derivative does not need and the second does.
    axes = list(range(1, x.shape.rank - 1))
    if num_rows is None:
        centred = x - tf.reduce_mean(x, axes, keepdims=True)
        variance = tf.reduce_mean(centred**2, axes, keepdims=True)
    else:
        centred = x - tf.reduce_mean(x[:, :num_rows], axes, keepdims=True)
        variance = tf.reduce_mean(centred[:, :num_rows] ** 2, axes, keepdims=True)
    return centred * tf.math.rsqrt(variance + EPSILON)


class FastScaleShift(FastLayer):
    """z = scale'_j x + shift'_j per channel: the learned half of a batch norm, one set per task."""

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

    def call(self, x: tf.Tensor, fast: TaskWeights | None = None) -> tf.Tensor:
        """[tasks, N, ..., channels] -> the same; without fast weights, with theta."""
        weights = fast if fast is not None else self.prior()
        between = [1] * (x.shape.rank - 2)
        scale, shift = (tf.reshape(p, [-1, *between, x.shape[-1]]) for p in weights.parts)
        return scale * x + shift

    def gradient(self, inputs: tf.Tensor, output_gradient: tf.Tensor) -> WeightGradient:
        """(sum of x dL/dz, sum of dL/dz) over rows and positions: [tasks, channels] each."""
        axes = list(range(1, inputs.shape.rank - 1))
        return WeightGradient(
            (
                tf.reduce_sum(inputs * output_gradient, axes),
                tf.reduce_sum(output_gradient, axes),
            )
        )
