"""SavedModel of a few-shot classifier, with the whole adaptation in its graph."""

from pathlib import Path

import tensorflow as tf

from mmaml_tf.checked_inputs import Input, signature
from mmaml_tf.export import save
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
    that have one. Anything wrong with an argument is an `InvalidArgumentError` that names it
    (`checked_inputs`).

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
        outcome = learner.adapt(Examples(support_x, support_y), query_x, num_steps=num_steps)
        results = {
            "predictions": tf.nn.softmax(outcome.predictions[-1]),
            "modulated_predictions": tf.nn.softmax(outcome.predictions[0]),
        }
        if outcome.embedding is not None:
            results["task_embedding"] = outcome.embedding
        return results

    x = Input(image_shape)
    inputs = {
        "support_x": x.batched("tasks", "K"),
        "support_y": Input(("tasks", "K"), tf.int32, num_classes, "labels"),
        "query_x": x.batched("tasks", "N"),
    }
    save(learner.variables, {"serving_default": signature(serve, inputs)}, path)
