"""Gaussian policies: the base network of meta-reinforcement learning."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from mmaml_tf.layers.modulation import Modulation
from mmaml_tf.rl.mlp import MLP, LogStddevVector


class GaussianPolicy(MLP):
    """pi(a | s; theta', tau) = N(f(s; theta', tau), diag(sigma')^2).

    f is an MLP whose hidden layers are modulated; log sigma does not depend on the state, starts
    at zero, is part of theta and adapts with it ([MAML]'s code). The outputs are mean and log
    sigma side by side, [tasks, N, 2 act].

    Args:
      hidden_units: width of each hidden layer.
      action_size: numbers in an action.
      modulation: of every hidden layer, or None.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        action_size: int,
        modulation: Modulation | None = None,
        **kwargs,
    ):
        super().__init__(hidden_units, action_size, modulation, **kwargs)

    def build(self, input_shape: tuple) -> None:
        """Creates the layers for observations [tasks, N, obs]."""
        super().build(input_shape)
        log_stddev = LogStddevVector(self.output_units, name="log_stddev")
        log_stddev.build((None, None, self.output_units))
        self.built_layers.append(log_stddev)


def distribution(outputs: tf.Tensor) -> tfp.distributions.Distribution:
    """The action distributions that a policy's outputs [..., 2 act] stand for."""
    mean, log_stddev = tf.split(outputs, 2, -1)
    return tfp.distributions.Independent(tfp.distributions.Normal(mean, tf.exp(log_stddev)), 1)


def log_prob(outputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
    """log pi(a | s): [..., 2 act] and [..., act] to [...]."""
    return distribution(outputs).log_prob(actions)


def kl_divergence(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """KL(pi_old || pi_new) at every state, from outputs: [..., 2 act] twice to [...]."""
    return distribution(old).kl_divergence(distribution(new))


def fisher_product(outputs: tf.Tensor, tangent: tf.Tensor) -> tf.Tensor:
    """The Fisher matrix in (mean, log sigma), diag(1 / sigma^2, 2), times a tangent of outputs.

    This is the second derivative of `kl_divergence` in its second argument where both are equal.
    """
    _, log_stddev = tf.split(outputs, 2, -1)
    mean_part, log_part = tf.split(tangent, 2, -1)
    return tf.concat([mean_part * tf.exp(-2.0 * log_stddev), 2.0 * log_part], -1)
