"""What the task encoders of reinforcement learning share: from trajectories to v."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.tasks import Rollouts


class TrajectoryEncoder(keras.layers.Layer):
    """v = g(mean over trajectories of h(summary of the trajectory)), [2019 code].

    g and h are dense layers, two each. Subclasses say what a trajectory's summary is.

    Args:
      units: width of all layers, and of v.
    """

    def __init__(self, units: int = 64, **kwargs: Any):
        super().__init__(**kwargs)
        self.output_units = units
        self.of_trajectory = _two_layers(units)
        self.of_task = _two_layers(units)

    def build(self, shapes: Rollouts) -> None:
        """Creates the weights for trajectories of these shapes."""
        width = self.build_summary(shapes.observations[-1] + shapes.actions[-1] + 1)
        for layer in (*self.of_trajectory, *self.of_task):
            layer.build((None, width))
            width = self.output_units

    def build_summary(self, width: int) -> int:
        """Creates what `summary` needs for steps of this width; returns a summary's width."""
        raise NotImplementedError

    def summary(self, steps: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Steps [n, H, obs + act + 1] and their mask [n, H] -> [n, width]."""
        raise NotImplementedError

    def call(self, trajectories: Rollouts) -> tf.Tensor:
        """Trajectories [tasks, trajectories, H, ...] -> v [tasks, units]."""
        steps = tf.concat(
            [trajectories.observations, trajectories.actions, trajectories.rewards[..., None]], -1
        )
        shape = tf.shape(steps)
        h = self.summary(
            tf.reshape(steps, [shape[0] * shape[1], shape[2], steps.shape[3]]),
            tf.reshape(trajectories.mask, [shape[0] * shape[1], shape[2]]),
        )
        for layer in self.of_trajectory:
            h = layer(h)
        v = tf.reduce_mean(tf.reshape(h, [shape[0], shape[1], self.output_units]), 1)
        for layer in self.of_task:
            v = layer(v)
        return v


def damped(x: tf.Tensor) -> tf.Tensor:
    """sign(x) log(1 + |x|): what may be of any size, in the range of a network's inputs."""
    return tf.sign(x) * tf.math.log1p(tf.abs(x))


def _two_layers(units: int) -> list[keras.layers.Dense]:
    return [keras.layers.Dense(units, activation="relu"), keras.layers.Dense(units)]
