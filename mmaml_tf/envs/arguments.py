"""Checks of what callers pass to the environments: goals, actions, states and reset options."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def finite_array(value: Any, shape: tuple[int, ...], name: str) -> FloatArray:
    """Returns `value` as a new float64 array of `shape`.

    Where the last axis of `shape` is 1 it may be left out: a number is a goal of shape (1,), and
    [num_envs] numbers are goals of shape [num_envs, 1].

    Raises:
        ValueError: wrong shape, not numbers, or not finite.
    """
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers of shape {shape}") from None
    if shape[-1] == 1 and array.shape == shape[:-1]:
        array = array[..., np.newaxis]
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{name} must be finite, got {array[index]} at index {index}")
    return array


def environment_mask(mask: Any, num_envs: int) -> BoolArray:
    """Returns `options["reset_mask"]` as a bool array [num_envs]; None means every environment.

    Raises:
        ValueError: not a bool array of shape [num_envs], or no environment selected.
    """
    if mask is None:
        return np.ones(num_envs, dtype=np.bool_)
    array = np.asarray(mask)
    if array.shape != (num_envs,) or array.dtype != np.bool_:
        raise ValueError(
            f"reset_mask must be bool of shape ({num_envs},), got {array.dtype} of {array.shape}"
        )
    if not array.any():
        raise ValueError("reset_mask must select at least one environment, got all False")
    return array


def goal_of(options: Mapping[str, Any] | None, goal: FloatArray) -> FloatArray:
    """Returns the goal that `options` of a reset have, or else the one there was.

    Raises:
        ValueError: another option, or no finite numbers of the goal's shape.
    """
    given = check_options(options, ("goal",))
    return finite_array(given["goal"], goal.shape, "goal") if given else goal


def check_options(options: Mapping[str, Any] | None, allowed: Iterable[str]) -> dict[str, Any]:
    """Returns `options`, or an empty dict for None.

    Raises:
        ValueError: an option that is not in `allowed` (silently ignoring `goal` where `goals` is
            meant would train on the wrong task).
    """
    given = dict(options or {})
    unknown = sorted(given.keys() - set(allowed))
    if unknown:
        raise ValueError(f"unknown reset options {unknown}; allowed: {sorted(allowed)}")
    return given
