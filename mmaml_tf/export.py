"""SavedModel with the whole adaptation in its graph: loads and runs with TensorFlow alone."""

from pathlib import Path

import tensorflow as tf

from mmaml_tf.meta_learners import MetaLearner, MultiMAML
from mmaml_tf.tasks import Examples


def export_supervised(learner: MetaLearner, x_dim: int, y_dim: int, path: Path) -> None:
    """Saves `serving_default(support_x, support_y, query_x[, mode])`.

    Any number of tasks, support points and query points: x is [tasks, N, x_dim], y
    [tasks, K, y_dim]. Multi-MAML asks for each task's true mode too, [tasks] int32. Returns
    `predictions` (after all gradient steps) and `modulated_predictions` (before the first), each
    [tasks, N, y_dim], and `task_embedding` [tasks, v_dim] from learners that have one. A wrong
    rank, width or number of tasks is an `InvalidArgumentError` that names the argument.

    Args:
      learner: trained, built with materialised fast weights (any number of support points).
      x_dim: width of x.
      y_dim: width of y.
      path: folder to write.
    """

    def serve(
        support_x: tf.Tensor,
        support_y: tf.Tensor,
        query_x: tf.Tensor,
        mode: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        support_x = checked("support_x", support_x, ["tasks", "K", x_dim])
        support_y = checked("support_y", support_y, ["tasks", "K", y_dim])
        query_x = checked("query_x", query_x, ["tasks", "N", x_dim])
        support_y = alike(support_y, support_x, 2, "support_y has other tasks or K than support_x")
        query_x = alike(query_x, support_x, 1, "query_x has other tasks than support_x")
        if mode is not None:
            mode = alike(mode, support_x, 1, "mode has other tasks than support_x")
        outcome = learner.adapt(Examples(support_x, support_y), query_x, mode)
        results = {
            "predictions": outcome.predictions[-1],
            "modulated_predictions": outcome.predictions[0],
        }
        if outcome.embedding is not None:
            results["task_embedding"] = outcome.embedding
        return results

    # Shapes are left open and checked in the graph: a mismatch with a declared shape would
    # surface as an error deep inside, naming none of the arguments.
    specs = [tf.TensorSpec(None, tf.float32, n) for n in ("support_x", "support_y", "query_x")]
    if isinstance(learner, MultiMAML):
        specs.append(tf.TensorSpec([None], tf.int32, "mode"))
    module = tf.Module()
    module.learner_variables = [variable.value for variable in learner.variables]
    module.serve = tf.function(serve, input_signature=specs)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})


def checked(name: str, value: tf.Tensor, expected: list[str | int]) -> tf.Tensor:
    """Asserts rank and the sizes given as numbers, with a message that names the argument."""
    sizes = [size if isinstance(size, int) else None for size in expected]
    form = f"{name} must be [{', '.join(map(str, expected))}], but its shape is"
    shape = tf.shape(value)
    # Brought to the expected length: a plain `shape[axis]` fails on its own at a wrong rank.
    as_long = tf.concat([shape, tf.zeros([len(expected)], tf.int32)], 0)[: len(expected)]
    matches = [as_long[axis] == size for axis, size in enumerate(sizes) if size is not None]
    is_right = tf.reduce_all([tf.size(shape) == len(expected), *matches])
    with tf.control_dependencies([tf.debugging.Assert(is_right, [form, shape])]):
        return tf.ensure_shape(tf.identity(value), sizes)


def alike(value: tf.Tensor, other: tf.Tensor, axes: int, message: str) -> tf.Tensor:
    """`value`, asserted to have the other's sizes along so many first axes."""
    sizes, expected = tf.shape(value)[:axes], tf.shape(other)[:axes]
    is_right = tf.reduce_all(sizes == expected)
    with tf.control_dependencies([tf.debugging.Assert(is_right, [message, sizes, expected])]):
        return tf.identity(value)
