"""SavedModel of a few-shot classifier, with the whole adaptation in its graph."""

from pathlib import Path

import tensorflow as tf

from mmaml_tf.export import alike, checked
from mmaml_tf.meta_learners import MetaLearner
from mmaml_tf.tasks import Examples


def export_classifier(
    learner: MetaLearner,
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_steps: int,
    path: Path,
) -> None:
    """Saves `serving_default(support_x, support_y, query_x)`.

    Any number of tasks, support images and query images: x is [tasks, N, height, width, channels]
    float32 in 0..1 (1 is ink), support_y [tasks, K] int32 with labels below `num_classes`. Returns
    class probabilities [tasks, N, num_classes]: `predictions` after all gradient steps and
    `modulated_predictions` before the first; and `task_embedding` [tasks, v_dim] from learners
    that have one. A wrong shape or label is an `InvalidArgumentError` that names the argument.

    Args:
      learner: trained.
      image_shape: (height, width, channels).
      num_classes: N, of every task.
      num_steps: S, gradient steps on the support set.
      path: folder to write.
    """

    def serve(
        support_x: tf.Tensor, support_y: tf.Tensor, query_x: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        support_x = checked("support_x", support_x, ["tasks", "K", *image_shape])
        support_y = checked("support_y", support_y, ["tasks", "K"])
        query_x = checked("query_x", query_x, ["tasks", "N", *image_shape])
        support_y = alike(support_y, support_x, 2, "support_y has other tasks or K than support_x")
        query_x = alike(query_x, support_x, 1, "query_x has other tasks than support_x")
        allowed = f"support_y must hold labels 0 to {num_classes - 1}, but they are"
        is_right = tf.reduce_all((support_y >= 0) & (support_y < num_classes))
        with tf.control_dependencies([tf.debugging.Assert(is_right, [allowed, support_y])]):
            support = Examples(support_x, tf.identity(support_y))
        outcome = learner.adapt(support, query_x, num_steps=num_steps)
        results = {
            "predictions": tf.nn.softmax(outcome.predictions[-1]),
            "modulated_predictions": tf.nn.softmax(outcome.predictions[0]),
        }
        if outcome.embedding is not None:
            results["task_embedding"] = outcome.embedding
        return results

    # Shapes are left open and checked in the graph, so that an error names the argument.
    specs = [
        tf.TensorSpec(None, tf.float32, "support_x"),
        tf.TensorSpec(None, tf.int32, "support_y"),
        tf.TensorSpec(None, tf.float32, "query_x"),
    ]
    module = tf.Module()
    module.learner_variables = [variable.value for variable in learner.variables]
    module.serve = tf.function(serve, input_signature=specs)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
