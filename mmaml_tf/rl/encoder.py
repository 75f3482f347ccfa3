"""Task encoders of meta-reinforcement learning: from trajectories to the task embedding v."""

import keras
import tensorflow as tf

from mmaml_tf.rl.gru import LongGRU
from mmaml_tf.rl.rollouts import Rollouts


class TrajectoryEncoder(keras.layers.Layer):
    """v = g(mean over trajectories of h(summary of the trajectory)), [2019 code].

    g and h are dense layers, two each. Subclasses say what a trajectory's summary is.

    Args:
      units: width of all layers, and of v.
    """

    def __init__(self, units: int = 64, **kwargs):
        super().__init__(**kwargs)
        self.output_units = units
        self.of_trajectory = _two_layers(units)
        self.of_task = _two_layers(units)

    def build(self, input_shape: tuple) -> None:
        """Creates the weights for steps [..., obs + act + 1]."""
        width = self.build_summary(input_shape[-1])
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


class GRUEncoder(TrajectoryEncoder):
    """Summarises a trajectory by the last state of a GRU over its steps [2019 code].

    The GRU is a loop in the graph, since 200 unrolled steps take minutes to trace; steps after an
    episode's end leave its state as it is.
    """

    def build_summary(self, width: int) -> int:
        """Creates the GRU, of as many cells as v has numbers."""
        self.gru = LongGRU(self.output_units)
        self.gru.build((None, None, width))
        return self.output_units

    def summary(self, steps: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The last state: [n, units]."""
        return self.gru(steps, mask=mask)


class MomentEncoder(TrajectoryEncoder):
    """Summarises a trajectory by first and second moments of its steps (choice).

    What a task's reward asks for shows in what it varies with: where more speed goes with more
    reward, the goal is a high speed. Hence the summary is, over the trajectory's steps, the mean
    and deviation of every observation, action and the reward (as sign(x) log(1 + |x|)), and the
    correlation of every observation and action with the reward. A GRU's last state knows mostly the
    last steps, in which this does not show.
    """

    def build_summary(self, width: int) -> int:
        """Nothing to create."""
        return 3 * width - 1

    def summary(self, steps: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Means, deviations and correlations with the reward: [n, 3 (obs + act) + 2]."""
        share = (mask / tf.reduce_sum(mask, -1, keepdims=True))[..., None]
        mean = tf.reduce_sum(share * steps, -2)
        centred = steps - mean[..., None, :]
        deviation = tf.sqrt(tf.reduce_sum(share * centred**2, -2) + 1e-6)
        covariance = tf.reduce_sum(share * centred[..., :-1] * centred[..., -1:], -2)
        correlation = covariance / (deviation[..., :-1] * deviation[..., -1:])
        return tf.concat([_damped(mean), _damped(deviation), correlation], -1)


def _damped(x: tf.Tensor) -> tf.Tensor:
    return tf.sign(x) * tf.math.log1p(tf.abs(x))


def _two_layers(units: int) -> list[keras.layers.Dense]:
    return [keras.layers.Dense(units, activation="relu"), keras.layers.Dense(units)]
