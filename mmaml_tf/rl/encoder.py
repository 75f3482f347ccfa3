"""Task encoder of meta-reinforcement learning: from trajectories to the task embedding v."""

import keras
import tensorflow as tf

from mmaml_tf.rl.gru import LongGRU
from mmaml_tf.rl.rollouts import Rollouts


class TrajectoryEncoder(keras.layers.Layer):
    """Reads the steps (observation, action, reward) of each trajectory with a GRU [2019 code].

    v = g(mean over trajectories of h(GRU's last state)), g and h MLPs of two layers. The GRU is a
    loop in the graph, since 200 unrolled steps take minutes to trace; steps after an episode's end
    leave its state as it is.

    What a task's reward asks for shows in how it varies with what was seen and done, which a GRU
    that reads plain steps is slow to find. With `products` it reads the steps standardised within
    their trajectory, and beside them each observation and action times the reward (choice).

    Args:
      units: GRU cells, width of both MLPs and of v.
      products: False reads plain steps.
    """

    def __init__(self, units: int = 64, products: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.products = products
        self.output_units = units
        self.gru = LongGRU(units)
        self.trajectory_layers = _two_layers(units)
        self.task_layers = _two_layers(units)

    def build(self, input_shape: tuple) -> None:
        """Creates the weights for steps [..., obs + act + 1]."""
        width = input_shape[-1]
        self.gru.build((None, None, 2 * width - 1 if self.products else width))
        for layer in self.trajectory_layers + self.task_layers:
            layer.build((None, self.units))

    def call(self, trajectories: Rollouts) -> tf.Tensor:
        """Trajectories [tasks, trajectories, H, ...] -> v [tasks, units]."""
        steps = tf.concat(
            [trajectories.observations, trajectories.actions, trajectories.rewards[..., None]], -1
        )
        if self.products:
            steps = standardised(steps, trajectories.mask)
            steps = tf.concat([steps, steps[..., :-1] * steps[..., -1:]], -1)
        shape = tf.shape(steps)
        h = self.gru(
            tf.reshape(steps, [shape[0] * shape[1], shape[2], steps.shape[3]]),
            mask=tf.reshape(trajectories.mask, [shape[0] * shape[1], shape[2]]),
        )
        for layer in self.trajectory_layers:
            h = layer(h)
        v = tf.reduce_mean(tf.reshape(h, [shape[0], shape[1], self.units]), 1)
        for layer in self.task_layers:
            v = layer(v)
        return v


def standardised(steps: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean 0 and deviation 1 of every number over the live steps of its own trajectory.

    Args:
      steps: [..., H, width].
      mask: one for live steps, [..., H].

    Returns:
      Like `steps`; zero where the mask is, and numbers that do not vary stay near zero.
    """
    weights = (mask / tf.reduce_sum(mask, -1, keepdims=True))[..., None]
    centred = steps - tf.reduce_sum(weights * steps, -2, keepdims=True)
    variance = tf.reduce_sum(weights * centred**2, -2, keepdims=True)
    return centred * mask[..., None] * tf.math.rsqrt(variance + 1e-6)


def _two_layers(units: int) -> list[keras.layers.Dense]:
    return [keras.layers.Dense(units, activation="relu"), keras.layers.Dense(units)]
