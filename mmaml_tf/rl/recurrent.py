"""Gaussian policies with a memory."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.encoders.long_gru import LongGRU
from mmaml_tf.encoders.trajectories import damped
from mmaml_tf.networks.models import gaussian_policy
from mmaml_tf.rl.trials import States


class RecurrentPolicy(keras.layers.Layer):
    """pi(a | history) = N(f(h_t), diag(sigma)^2), h_t the state of GRUs, f linear.

    The GRUs see every input x as sign(x) log(1 + |x|), and f starts small (choices): rewards and
    positions of tens would saturate the gates, and a policy that first runs away learns late.

    Args:
      inputs_size: numbers seen in a step.
      hidden_units: width of each GRU.
      action_size: numbers in an action.
    """

    # All tasks have the same weights; a `TaskNetwork` may have several sets.
    num_groups = 1

    def __init__(
        self, inputs_size: int, hidden_units: Sequence[int], action_size: int, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.grus = [
            LongGRU(units, return_sequences=True, name=f"gru_{index}")
            for index, units in enumerate(hidden_units)
        ]
        small = keras.initializers.VarianceScaling(0.01, "fan_avg", "uniform")
        self.head = gaussian_policy(hidden_units[-1], (), action_size, kernel_initializer=small)
        for layer, width in zip(self.grus, [inputs_size, *hidden_units], strict=False):
            layer.build((None, None, width))
        self.built = True

    def initial_states(self, num_rows: int | tf.Tensor) -> States:
        """Zeros, [rows, units] of each GRU."""
        return [tf.zeros([num_rows, layer.units], self.compute_dtype) for layer in self.grus]

    def step(self, inputs: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
        """One step: [rows, in] and states -> means and log sigmas [rows, 2 act] and states."""
        h, following = damped(inputs), []
        for layer, state in zip(self.grus, states, strict=True):
            h, _ = layer.cell(h, [state])
            following.append(h)
        return self.head(h), following

    def call(self, inputs: tf.Tensor, live: tf.Tensor) -> tf.Tensor:
        """Whole sequences, from zero states: [rows, T, in] -> [rows, T, 2 act].

        States pass by the steps that are not live [rows, T].
        """
        h = damped(inputs)
        for layer in self.grus:
            h = layer(h, mask=live)
        outputs = self.head(tf.reshape(h, [-1, h.shape[-1]]))
        return tf.reshape(outputs, tf.concat([tf.shape(inputs)[:2], outputs.shape[1:]], 0))
