"""Trust-region pieces that know nothing of policies: conjugate gradients and the line search.

Schulman et al. 2015, Trust Region Policy Optimization, appendix C.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf


def flatten(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """All numbers of `parts` as one vector."""
    return tf.concat([tf.reshape(part, [-1]) for part in parts], 0)


def unflatten(vector: tf.Tensor, like: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The inverse of `flatten`, with the static shapes of `like`."""
    sizes = [part.shape.num_elements() for part in like]
    pieces = tf.split(vector, sizes)
    return [tf.reshape(piece, part.shape) for piece, part in zip(pieces, like, strict=True)]


class Solution(NamedTuple):
    """What conjugate gradients found.

    Attributes:
      x: [n].
      residual: b - A x, [n].
    """

    x: tf.Tensor
    residual: tf.Tensor


def conjugate_gradient(
    product: Callable[[tf.Tensor], tf.Tensor],
    b: tf.Tensor,
    iterations: int,
    tolerance: float = 1e-10,
) -> Solution:
    """Solves A x = b for a symmetric positive definite A.

    Args:
      product: v -> A v, [n] to [n]; part of a graph if this is.
      b: [n].
      iterations: at most.
      tolerance: stops at |b - A x|^2 below this.
    """

    def unfinished(i: tf.Tensor, x: tf.Tensor, r: tf.Tensor, p: tf.Tensor, rr: tf.Tensor):  # noqa: ANN202
        return (i < iterations) & (rr > tolerance)

    def body(i: tf.Tensor, x: tf.Tensor, r: tf.Tensor, p: tf.Tensor, rr: tf.Tensor) -> tuple:
        z = product(p)
        step = rr / tf.tensordot(p, z, 1)
        x, r = x + step * p, r - step * z
        new_rr = tf.tensordot(r, r, 1)
        return i + 1, x, r, r + new_rr / rr * p, new_rr

    start = (tf.constant(0), tf.zeros_like(b), b, b, tf.tensordot(b, b, 1))
    _, x, residual, _, _ = tf.while_loop(unfinished, body, start)
    return Solution(x, residual)


class Candidate(NamedTuple):
    """A point on the search line.

    Attributes:
      fraction: of the full step; 0 if no step was accepted.
      loss: the surrogate there.
      kl: divergence from the old policy there.
    """

    fraction: float
    loss: float
    kl: float


def line_search(
    evaluate: Callable[[float], tuple[float, float]],
    loss_before: float,
    max_kl: float,
    shrink: float = 0.8,
    max_trials: int = 15,
) -> Candidate:
    """The longest of the steps 1, 0.8, 0.64, ... that lowers the loss and keeps KL <= max_kl.

    A loss or divergence that is not a number is never accepted.

    Args:
      evaluate: fraction of the full step -> (loss, KL) there.
      loss_before: at fraction 0.
      max_kl: limit of the divergence.
      shrink: ratio of successive steps.
      max_trials: before giving up and staying.
    """
    fraction = 1.0
    for _ in range(max_trials):
        loss, kl = evaluate(fraction)
        if loss < loss_before and kl <= max_kl:
            return Candidate(fraction, loss, kl)
        fraction *= shrink
    return Candidate(0.0, loss_before, 0.0)
