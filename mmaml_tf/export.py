"""SavedModel with the whole adaptation in its graph: loads and runs with TensorFlow alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.checked_inputs import Input, signature
from mmaml_tf.meta_learners import MetaLearner
from mmaml_tf.tasks import Examples


def export_supervised(
    learner: MetaLearner, x_dim: int, y_dim: int, num_modes: int | None, path: Path
) -> None:
    """Saves `serving_default(support_x, support_y, query_x[, mode])`.

    Any number of tasks, support points and query points: x is [tasks, N, x_dim], y
    [tasks, K, y_dim]. Multi-MAML asks for each task's true mode too, [tasks] int32. Returns
    `predictions` (after all gradient steps) and `modulated_predictions` (before the first), each
    [tasks, N, y_dim], and `task_embedding` [tasks, v_dim] from learners that have one. Anything
    wrong with an argument is an `InvalidArgumentError` that names it (`checked_inputs`).

    Args:
      learner: trained, built with materialised fast weights (any number of support points).
      x_dim: width of x.
      y_dim: width of y.
      num_modes: for Multi-MAML, how many there are.
      path: folder to write.
    """

    def serve(
        support_x: tf.Tensor,
        support_y: tf.Tensor,
        query_x: tf.Tensor,
        mode: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        outcome = learner.adapt(Examples(support_x, support_y), query_x, mode)
        results = {
            "predictions": outcome.predictions[-1],
            "modulated_predictions": outcome.predictions[0],
        }
        if outcome.embedding is not None:
            results["task_embedding"] = outcome.embedding
        return results

    x = Input((x_dim,))
    inputs = {
        "support_x": x.batched("tasks", "K"),
        "support_y": Input((y_dim,)).batched("tasks", "K"),
        "query_x": x.batched("tasks", "N"),
    }
    if num_modes is not None:
        inputs["mode"] = Input(("tasks",), tf.int32, num_modes, "the modes")
    save(learner.variables, {"serving_default": signature(serve, inputs)}, path)


def save(variables: Sequence[keras.Variable], signatures: Mapping[str, Any], path: Path) -> None:
    """Saves concrete functions, by their names, and the variables that they read."""
    module = tf.Module()
    module.learner_variables = [variable.value for variable in variables]
    tf.saved_model.save(module, str(path), signatures=dict(signatures))
