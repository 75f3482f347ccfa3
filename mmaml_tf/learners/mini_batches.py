"""Ordinary training within a task: mini-batches of its points, and Adam's steps."""

import tensorflow as tf

from mmaml_tf.layers.gradients import WeightGradient

DECAY, EPSILON = 0.999, 1e-8  # Adam's beta_2, and what keeps its quotient finite


def mini_batches(
    number: int | tf.Tensor, num_steps: int, batch_size: int, seed: int | tf.Tensor
) -> tf.Tensor:
    """Indices of each step's points, [num_steps, batch]: one shuffled pass after the other.

    Args:
      number: of points.
      num_steps: k.
      batch_size: points of a step, at most.
      seed: of the order; the same seed, the same order.
    """
    size = min(batch_size, number) if isinstance(number, int) else tf.minimum(batch_size, number)
    passes = -(-num_steps * size // number)
    # An argsort, as XLA has no shuffle. (It draws other numbers.)
    keys = tf.random.stateless_uniform([passes, number], [tf.cast(seed, tf.int32), 0], alg="philox")
    order = tf.reshape(tf.argsort(keys, stable=True), [-1])
    return tf.reshape(order[: num_steps * size], [num_steps, size])


def adam_directions(
    gradients: list[WeightGradient], moments: list[list[tf.Tensor]] | None, step: int | tf.Tensor
) -> tuple[list[WeightGradient], list[list[tf.Tensor]]]:
    """Adam's directions with beta_1 = 0, g / (sqrt(v) + epsilon), and the sums that give v; `step`
    counts from 1, a float if it is a tensor."""
    if moments is None:
        moments = [[tf.zeros_like(part) for part in g.parts] for g in gradients]
    scaled, kept = [], []
    for gradient, before in zip(gradients, moments, strict=True):
        pairs = zip(before, gradient.parts, strict=True)
        now = [DECAY * moment + (1 - DECAY) * part**2 for moment, part in pairs]
        kept.append(now)
        scaled.append(
            WeightGradient(
                tuple(
                    part / (tf.sqrt(moment / (1 - DECAY**step)) + EPSILON)
                    for part, moment in zip(gradient.parts, now, strict=True)
                )
            )
        )
    return scaled, kept
