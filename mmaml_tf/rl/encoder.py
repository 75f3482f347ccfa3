"""Task encoder of meta-reinforcement learning: from trajectories to the task embedding v."""

import keras
import tensorflow as tf

from mmaml_tf.rl.rollouts import Rollouts


class TrajectoryEncoder(keras.layers.Layer):
    """Reads the steps (observation, action, reward) of each trajectory with a GRU [2019 code].

    v = g(mean over trajectories of h(GRU's last state)), g and h MLPs of two layers. The GRU is a
    loop in the graph, since 200 unrolled steps take minutes to trace; steps after an episode's end
    leave its state as it is. cuDNN is off because its kernels have no second derivative.

    Args:
      units: GRU cells, width of both MLPs and of v.
    """

    def __init__(self, units: int = 64, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.output_units = units
        self.gru = keras.layers.GRU(units, use_cudnn=False)
        self.trajectory_layers = _two_layers(units)
        self.task_layers = _two_layers(units)

    def build(self, input_shape: tuple) -> None:
        """Creates the weights for steps [..., obs + act + 1]."""
        self.gru.build((None, None, input_shape[-1]))
        for layer in self.trajectory_layers + self.task_layers:
            layer.build((None, self.units))

    def call(self, trajectories: Rollouts) -> tf.Tensor:
        """Trajectories [tasks, trajectories, H, ...] -> v [tasks, units]."""
        steps = tf.concat(
            [trajectories.observations, trajectories.actions, trajectories.rewards[..., None]], -1
        )
        shape = tf.shape(steps)
        h = self.gru(
            tf.reshape(steps, [shape[0] * shape[1], shape[2], steps.shape[3]]),
            mask=tf.reshape(trajectories.mask > 0, [shape[0] * shape[1], shape[2]]),
        )
        for layer in self.trajectory_layers:
            h = layer(h)
        v = tf.reduce_mean(tf.reshape(h, [shape[0], shape[1], self.units]), 1)
        for layer in self.task_layers:
            v = layer(v)
        return v


def _two_layers(units: int) -> list[keras.layers.Dense]:
    return [keras.layers.Dense(units, activation="relu"), keras.layers.Dense(units)]
