"""SavedModel with the whole adaptation in its graph: loads and runs with TensorFlow alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.checked_inputs import Input, signature
from mmaml_tf.meta_learners import MetaLearner
from mmaml_tf.tasks import Examples


def export_supervised(
    learner: MetaLearner,
    x: Input,
    y: Input,
    num_steps: int,
    path: Path,
    activation: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    num_modes: int | None = None,
) -> None:
    """Saves `serving_default(support_x, support_y, query_x[, mode])`.

    Any number of tasks, support examples and queries: support_x is [tasks, K, ...x], support_y
    [tasks, K, ...y], query_x [tasks, N, ...x]. Multi-MAML asks for each task's true mode too,
    [tasks] int32. Returns `predictions` (after all gradient steps) and `modulated_predictions`
    (before the first), each [tasks, N, out_dim], and `task_embedding` [tasks, v_dim] from learners
    that have one. Anything wrong with an argument is an `InvalidArgumentError` that names it
    (`checked_inputs`).

    Args:
      learner: trained, of fast weights that take any number of support examples.
      x: what one example must be.
      y: what its target or label must be.
      num_steps: S, gradient steps on the support set.
      path: folder to write.
      activation: makes predictions of the network's outputs [tasks, N, out_dim], such as
        `tf.nn.softmax`.
      num_modes: of Multi-MAML; None for learners that don't ask for modes.
    """

    def serve(
        support_x: tf.Tensor,
        support_y: tf.Tensor,
        query_x: tf.Tensor,
        mode: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        outcome = learner.adapt(Examples(support_x, support_y), query_x, mode, num_steps)
        results = {
            "predictions": activation(outcome.predictions[-1]),
            "modulated_predictions": activation(outcome.predictions[0]),
        }
        if outcome.embedding is not None:
            results["task_embedding"] = outcome.embedding
        return results

    inputs = {
        "support_x": x.batched("tasks", "K"),
        "support_y": y.batched("tasks", "K"),
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
