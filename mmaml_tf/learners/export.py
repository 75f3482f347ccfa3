"""SavedModel of a supervised learner, with the whole adaptation in its graph."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from mmaml_tf.serving.checked_inputs import Input, signature
from mmaml_tf.serving.saved_model import save
from mmaml_tf.tasks import Examples

if TYPE_CHECKING:
    from mmaml_tf.learners.meta_learner import MetaLearner


def export_supervised(
    learner: "MetaLearner",
    path: Path,
    activation: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    num_steps: int | None = None,
) -> None:
    """Saves `serving_default(support_x, support_y, query_x[, mode])`.

    Any number of tasks, support examples and queries: support_x is [tasks, K, ...x], support_y
    [tasks, K, ...y], query_x [tasks, N, ...x]; x and y as the learner's model takes and its loss
    wants them. Multi-MAML asks for each task's true mode too, [tasks] int32. Returns `predictions`
    (after all gradient steps) and `modulated_predictions` (before the first), each
    [tasks, N, out_dim], and `task_embedding` [tasks, v_dim] from learners that have one. Anything
    wrong with an argument is an `InvalidArgumentError` that names it (`checked_inputs`).

    Args:
      learner: trained.
      path: folder to write.
      activation: makes predictions of the network's outputs [tasks, N, out_dim], such as
        `tf.nn.softmax`.
      num_steps: S, gradient steps on the support set; as in training by default.
    """

    def serve(
        support_x: tf.Tensor,
        support_y: tf.Tensor,
        query_x: tf.Tensor,
        mode: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        outcome = learner.after_each_step(Examples(support_x, support_y), query_x, num_steps, mode)
        results = {
            "predictions": activation(outcome.predictions[-1]),
            "modulated_predictions": activation(outcome.predictions[0]),
        }
        if outcome.embedding is not None:
            results["task_embedding"] = outcome.embedding
        return results

    model, targets = learner.network.model, learner.targets
    x = Input(tuple(model.input_shape[1:]), tf.as_dtype(model.inputs[0].dtype))
    y = Input(targets.shape, tf.as_dtype(targets.dtype), targets.num_classes, "the labels")
    inputs = {
        "support_x": x.batched("tasks", "K"),
        "support_y": y.batched("tasks", "K"),
        "query_x": x.batched("tasks", "N"),
    }
    if learner.asks_for_modes:
        inputs["mode"] = Input(("tasks",), tf.int32, learner.network.num_groups, "the modes")
    save(learner.variables, {"serving_default": signature(serve, inputs)}, path)
