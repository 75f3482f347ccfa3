"""Trust-region pieces that know nothing of policies: vectors, operators and the line search.

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


class SymmetricOperator(tf.linalg.LinearOperator):
    """A symmetric positive definite matrix A, known by its products alone.

    Args:
      product: v -> A v, [n] to [n]; part of a graph if this is.
      like: any vector [n].
    """

    def __init__(self, product: Callable[[tf.Tensor], tf.Tensor], like: tf.Tensor):
        super().__init__(like.dtype, is_self_adjoint=True, is_positive_definite=True)
        self._product = product
        self._size = like.shape[0]

    def _shape(self) -> tf.TensorShape:
        return tf.TensorShape([self._size, self._size])

    def _matmul(self, x: tf.Tensor, adjoint: bool = False, adjoint_arg: bool = False) -> tf.Tensor:
        return self._product(x[:, 0])[:, None]  # asked for by `matvec`, in one column


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
