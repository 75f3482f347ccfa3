"""What a learner may be told. Free of TensorFlow: settings are checked against it."""

import numbers
from collections.abc import Sequence
from typing import Any

# How many rows a dense layer's fast weights are laid out for: as many as it sees, one (factored
# wherever one is cheaper), or none (multiplied out).
FAST_WEIGHTS = ("auto", "factored", "materialised")
# Of inner steps on mini-batches: plain, or Adam without momentum (beta_1 = 0), from rest in every
# task.
INNER_OPTIMIZERS = ("sgd", "adam")
# One task after the other, all at once, or as is faster on the device (`devices.execution`).
TASK_BATCHINGS = ("auto", "map", "batched")
# What batch norm normalises queries by: the query set itself, or in predictions the support set.
BN_STATISTICS = ("transductive", "support")
# Of the heads that make tau of a task's embedding: at random, or so that they change nothing.
HEAD_INITIALIZERS = ("glorot_uniform", "zeros")
# Where weight decay draws the networks whose average is taken: to zero, or to those before them.
DECAYS = ("zero", "mean")


def require_at_least(name: str, value: Any, minimum: float, kind: Any = numbers.Real) -> None:
    """Raises ValueError unless an argument is a number of a kind, `minimum` or more."""
    if not (isinstance(value, kind) and float(value) >= minimum):
        what = "a whole number" if kind is numbers.Integral else "a number"
        raise ValueError(f"{name}={value!r}: must be {what}, {minimum} or more")


def require_kind(name: str, value: Any, kind: type) -> None:
    """Raises ValueError unless an argument that is no name is of a kind, such as a Keras layer."""
    if not isinstance(value, kind):
        raise ValueError(
            f"{name}={value!r}: must be a registered name, or a {kind.__name__} object"
        )


def require_one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises ValueError unless an argument is one of the allowed."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: choose from {', '.join(allowed)}")
