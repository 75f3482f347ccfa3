"""A task encoder that reads moments of a trajectory."""

import tensorflow as tf

from mmaml_tf.encoders import register
from mmaml_tf.encoders.trajectories import TrajectoryEncoder, damped


@register("moments", "rl")
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
        return tf.concat([damped(mean), damped(deviation), correlation], -1)
