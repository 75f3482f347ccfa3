"""A learner that adapted to tasks: predicts on queries, as often as asked."""

import functools
import numbers
import warnings
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from mmaml_tf.learners.options import require_at_least
from mmaml_tf.tasks import Examples

if TYPE_CHECKING:
    from mmaml_tf.learners.meta_learner import MetaLearner

BYTES = "holds bytes: divide by 255, as tasks.from_arrays does"
# Tasks computed at once, where one after the other is faster than all.
MAPPED_TASKS = 8


class AdaptedLearner:
    """What `MetaLearner.adapt` returns.

    Args:
      learner: that adapts.
      support_x: of one task [K, ...], or of many [tasks, K, ...].
      support_y: likewise.
      num_steps: S; None for the learner's own.
      mode: for a learner that `asks_for_modes`, and only for it: of one task its mode, of many
        [tasks].

    Attributes:
      embedding: v [tasks, v_dim] (of one task [v_dim]); None without a task encoder.

    Raises:
      ValueError: if these are not support sets of the learner's model, or not their modes, or
        `num_steps` is no number of steps.
    """

    def __init__(
        self,
        learner: "MetaLearner",
        support_x: Any,
        support_y: Any,
        num_steps: int | None,
        mode: Any,
    ):
        self._learner = learner
        model, targets = learner.network.model, learner.targets
        x = self._inputs("support_x", support_x)
        self._is_one = x.shape.rank == len(model.input_shape)
        x = self._examples("support_x", x, model.input_shape[1:])
        y = as_tensor("support_y", support_y, targets.dtype)
        y = self._examples("support_y", y, targets.shape)
        if x.shape[:2] != y.shape[:2]:
            raise ValueError(
                f"support_y is of {list(y.shape[:2])} tasks and examples, support_x of "
                f"{list(x.shape[:2])}"
            )
        if targets.num_classes is not None and not 0 <= np.min(y) <= np.max(y) < (
            targets.num_classes
        ):
            raise ValueError(
                f"support_y holds labels {np.min(y)} to {np.max(y)}; they must be 0 to "
                f"{targets.num_classes - 1}"
            )
        if num_steps is not None:
            require_at_least("num_steps", num_steps, 0, numbers.Integral)
        self._num_tasks = int(x.shape[0])
        tau, embedding = learner.modulate(Examples(x, y))
        whole = (x, y, tau, self._modes(mode))
        size = MAPPED_TASKS if learner.map_predictions else self._num_tasks
        self._parts = [slice(i, i + size) for i in range(0, self._num_tasks, size)]
        self._predictors = []
        for part in self._parts:
            own = tf.nest.map_structure(functools.partial(_cut, part=part), whole)
            own_x, own_y, own_tau, modes = own
            support = Examples(own_x, own_y)
            self._predictors.append(learner.predictors(support, own_tau, num_steps, modes))
        self.embedding = None if embedding is None else self._as_given(embedding)

    def predict(self, query_x: Any, step: int | None = None) -> np.ndarray:
        """Outputs for queries: [tasks, N, ...] (of one task [N, ...]) -> likewise.

        Args:
          query_x: inputs.
          step: after so many of the gradient steps; None for all of them.

        Raises:
          ValueError: if these are no queries for the tasks, or there is no such step.
        """
        model = self._learner.network.model
        x = self._inputs("query_x", query_x)
        x = self._examples("query_x", x, model.input_shape[1:])
        if x.shape[0] != self._num_tasks:
            raise ValueError(
                f"query_x is of {x.shape[0]} tasks, the support set of {self._num_tasks}"
            )
        network = self._learner.network
        if x.shape[1] == 1 and network.normalises_queries_together:
            warnings.warn(
                f"{model.name}: batch norm takes its statistics from the queries at hand, and one "
                'alone has none; ask for several, or make the learner with bn_statistics="support"',
                stacklevel=2,
            )
        steps = len(self._predictors[0]) - 1
        if not 0 <= (steps if step is None else step) <= steps:
            raise ValueError(f"step={step}: it adapted by {steps} steps, so 0 to {steps}")
        chosen = steps if step is None else step
        parts = zip(self._predictors, self._parts, strict=True)
        return self._as_given(tf.concat([own[chosen](x[part]) for own, part in parts], 0))

    def _inputs(self, name: str, values: Any) -> tf.Tensor:
        """As the model takes them."""
        source = self._learner.network.model.inputs[0]
        if np.asarray(values).dtype == np.uint8 and keras.backend.is_float_dtype(source.dtype):
            raise ValueError(f"{name} {BYTES}")
        return as_tensor(name, values, source.dtype)

    def _modes(self, mode: Any) -> tf.Tensor | None:
        """The tasks' modes, [tasks]."""
        asked, known = self._learner.asks_for_modes, self._learner.network.num_groups
        if not asked or mode is None:
            if asked or mode is not None:
                wants = "needs the true mode of every task" if asked else "takes none"
                raise ValueError(f"mode={mode}: {type(self._learner).__name__} {wants}")
            return None
        modes = np.asarray(mode)[None] if self._is_one else np.asarray(mode)
        tasks = self._num_tasks
        if modes.shape != (tasks,) or not np.issubdtype(modes.dtype, np.integer):
            raise ValueError(f"mode={mode}: must be one whole number for each of the {tasks} tasks")
        if not 0 <= modes.min() <= modes.max() < known:
            raise ValueError(f"mode={mode}: must be 0 to {known - 1}")
        return tf.constant(modes, tf.int32)

    def _examples(self, name: str, values: tf.Tensor, shape: tuple[int | None, ...]) -> tf.Tensor:
        """Values as [tasks, N, ...], each example of a shape."""
        if self._is_one:
            values = values[None] if values.shape.rank > 0 else values
        wanted = tf.TensorShape([None, None, *shape])
        if not wanted.is_compatible_with(values.shape) or 0 in values.shape[:2]:
            one = "" if self._is_one else "tasks, "
            axes = ", ".join(["examples", *map(str, shape)])
            raise ValueError(
                f"{name} must be [{one}{axes}], but its shape is "
                f"{list(values.shape[1:] if self._is_one else values.shape)}"
            )
        return values

    def _as_given(self, values: tf.Tensor) -> np.ndarray:
        return np.asarray(values[0] if self._is_one else values)


def _cut(values: tf.Tensor | None, part: slice) -> tf.Tensor | None:
    return None if values is None else values[part]


def as_tensor(name: str, values: Any, dtype: str) -> tf.Tensor:
    """An argument as a tensor of a type; real numbers are rounded to its precision.

    Raises:
      ValueError: for what are no numbers, or not such ones.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers, not {array.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(tf.as_dtype(dtype).as_numpy_dtype)
    if not (np.isfinite(array).all() and np.isfinite(cast).all()):
        raise ValueError(f"{name} must be finite, but holds NaN or infinity in {dtype}")
    if cast.dtype.kind in "iu" and not np.array_equal(cast, array):
        raise ValueError(f"{name} must be whole numbers that {dtype} holds")
    return tf.constant(cast)
