"""A learner that adapted to tasks: predicts on queries, as often as asked."""

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from mmaml_tf.tasks import Examples

if TYPE_CHECKING:
    from mmaml_tf.learners.meta_learner import MetaLearner


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
      ValueError: if these are not support sets of the learner's model, or not their modes.
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
        y = tf.convert_to_tensor(support_y)
        y = self._examples("support_y", tf.cast(y, targets.dtype), targets.shape)
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
        self._support = Examples(x, y)
        tau, embedding = learner.modulate(self._support)
        modes = self._modes(mode)
        self._predictors = learner.predictors(self._support, tau, num_steps, modes)
        self.embedding = None if embedding is None else self._as_given(embedding)

    def predict(self, query_x: Any, step: int | None = None) -> np.ndarray:
        """Outputs for queries: [tasks, N, ...] (of one task [N, ...]) -> likewise.

        Args:
          query_x: inputs.
          step: after so many of the gradient steps; None for all of them.

        Raises:
          ValueError: if these are no queries for the tasks.
        """
        model = self._learner.network.model
        x = self._inputs("query_x", query_x)
        x = self._examples("query_x", x, model.input_shape[1:])
        if x.shape[0] != self._support.x.shape[0]:
            raise ValueError(
                f"query_x is of {x.shape[0]} tasks, the support set of {self._support.x.shape[0]}"
            )
        steps = len(self._predictors) - 1
        if not 0 <= (steps if step is None else step) <= steps:
            raise ValueError(f"step={step}: it adapted by {steps} steps, so 0 to {steps}")
        return self._as_given(self._predictors[steps if step is None else step](x))

    def _inputs(self, name: str, values: Any) -> tf.Tensor:
        """As the model takes them."""
        dtype = tf.as_dtype(self._learner.network.model.inputs[0].dtype)
        if getattr(values, "dtype", None) in (np.uint8, tf.uint8) and dtype.is_floating:
            raise ValueError(f"{name} holds bytes: divide by 255, as tasks.from_arrays does")
        return tf.convert_to_tensor(values, dtype)

    def _modes(self, mode: Any) -> tf.Tensor | None:
        """The tasks' modes, [tasks]."""
        asked, known = self._learner.asks_for_modes, self._learner.network.num_groups
        if not asked or mode is None:
            if asked or mode is not None:
                wants = "needs the true mode of every task" if asked else "takes none"
                raise ValueError(f"mode={mode}: {type(self._learner).__name__} {wants}")
            return None
        modes = np.asarray(mode)[None] if self._is_one else np.asarray(mode)
        tasks = self._support.x.shape[0]
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
        if not wanted.is_compatible_with(values.shape) or values.shape[1] == 0:
            one = "" if self._is_one else "tasks, "
            axes = ", ".join(["examples", *map(str, shape)])
            raise ValueError(
                f"{name} must be [{one}{axes}], but its shape is "
                f"{list(values.shape[1:] if self._is_one else values.shape)}"
            )
        return values

    def _as_given(self, values: tf.Tensor) -> np.ndarray:
        return np.asarray(values[0] if self._is_one else values)
