"""Reads the weights of checkpoints from before the networks were Keras models.

They have a leading axis of groups on the dense layers' weights of theta, [groups, ...], of length
one unless the learner is Multi-MAML, whose groups are models of their own now; and the image
encoder's weights in another order, kernels first.
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

KEY = "weights/{}/.ATTRIBUTES/VARIABLE_VALUE"


def is_older(learner: keras.Model, prefix: Path) -> bool:
    """Whether the checkpoint has the learner's weights, in the older form."""
    groups = getattr(getattr(learner, "network", None), "groups", None)
    if groups is None:
        return False
    shapes = tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map()
    names = map(KEY.format, range(len(shapes)))
    stored = [tuple(shapes[name]) for name in names if name in shapes]
    now = [tuple(variable.shape) for variable in learner.trainable_variables]
    num_theta = len(groups[0])
    theta, omega = stored[:num_theta], stored[num_theta:]
    own = [tuple(variable.shape) for variable in groups[0]]
    return (
        stored != now
        and sorted(omega) == sorted(now[len(groups) * num_theta :])
        and len(theta) == num_theta
        and all(a in ((len(groups), *b), b) for a, b in zip(theta, own, strict=True))
    )


def restore_older(learner: keras.Model, prefix: Path) -> None:
    """Gives the learner the weights of a checkpoint that `is_older`."""
    reader = tf.train.load_checkpoint(str(prefix))
    names = reader.get_variable_to_shape_map()
    count = sum(name.startswith("weights/") for name in names)
    stored = [reader.get_tensor(KEY.format(index)) for index in range(count)]
    groups = learner.network.groups
    theta, rest = stored[: len(groups[0])], stored[len(groups[0]) :]
    values = []
    for index, variables in enumerate(groups):
        for variable, value in zip(variables, theta, strict=True):
            has_groups = value.shape == (len(groups), *variable.shape)
            values.append((variable, value[index] if has_groups else value))
    omega = learner.trainable_variables[len(values) :]
    values += zip(omega, _in_order(rest, omega), strict=True)
    for variable, value in values:
        variable.assign(value)


def _in_order(stored: list[np.ndarray], wanted: Sequence[keras.Variable]) -> list[np.ndarray]:
    """For each variable the first array of its shape that is left: arrays of equal shapes keep
    their order."""
    left, found = list(stored), []
    for variable in wanted:
        matches = [i for i, value in enumerate(left) if value.shape == tuple(variable.shape)]
        found.append(left.pop(matches[0] if matches else 0))
    return found
