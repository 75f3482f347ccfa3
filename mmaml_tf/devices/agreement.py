"""That all workers are about to do the same."""

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from mmaml_tf.devices.workers import Workers, name_of
from mmaml_tf.errors import RunError

# Of numbers that machines may round apart.
TOLERANCE = 1e-4


def require_agreement(workers: Workers, facts: dict[str, Any], advice: str) -> None:
    """Compares what all workers have with what the first one has; an exact text, or a number.

    Args:
      workers: all of whom ask.
      facts: what this one has, by name.
      advice: what to do.

    Raises:
      RunError: on all workers, if one differs: who, and in what.
    """
    first, *others = map(json.loads, workers.gathered(json.dumps(facts)))
    for index, theirs in enumerate(others, 1):
        for name in [*first, *theirs]:
            mine, other = first.get(name, "none"), theirs.get(name, "none")
            if not _same(mine, other):
                raise RunError(
                    f"{name}: {name_of(index, workers.count)} has {other}, the first one {mine}; "
                    f"{advice}"
                )


def require_one_folder(workers: Workers, holder: str) -> None:
    """Compares who is at work in the workers' run folders: it must be the first worker in all.

    Raises:
      RunError: on all workers, if it is another one somewhere.
    """
    first, *others = workers.gathered(holder)
    for index, theirs in enumerate(others, 1):
        if theirs != first:
            raise RunError(
                f"{name_of(index, workers.count)} does not see the run folder of the first one: "
                "give all the same --output_dir, on a disk that they share"
            )


def digest(values: Iterable[tf.Tensor]) -> str:
    """Short, and another one for other bits."""
    content = hashlib.sha256()
    for value in values:
        content.update(np.ascontiguousarray(value).tobytes())
    return content.hexdigest()[:12]


def summary(batch: Any) -> dict[str, float]:
    """Numbers that tell one batch of data from another."""
    parts = [np.asarray(part, np.float64) for part in tf.nest.flatten(batch)]
    return {f"mean of tasks' part {i}": float(part.mean()) for i, part in enumerate(parts, 1)}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return one == other
