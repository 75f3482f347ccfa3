"""A variable without a meta-gradient would silently never train."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


def zero_missing(
    variables: Sequence[keras.Variable], gradients: Sequence[tf.Tensor | None]
) -> list[Any]:
    """The gradients, zero where no loss depends on the variable."""
    pairs = zip(variables, gradients, strict=True)
    return [tf.zeros_like(v) if g is None else g for v, g in pairs]


def reject_missing(
    variables: Sequence[keras.Variable], gradients: Sequence[tf.Tensor | None]
) -> list[Any]:
    """The gradients.

    Raises:
      ValueError: naming the variables whose gradient is None.
    """
    missing = [v.path for v, g in zip(variables, gradients, strict=True) if g is None]
    if missing:
        raise ValueError(f"no meta-gradient reaches {', '.join(missing)}")
    return list(gradients)
