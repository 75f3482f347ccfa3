"""Gaussian policies, from the outputs of `networks.models.gaussian_policy`."""

import tensorflow as tf
import tensorflow_probability as tfp


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
