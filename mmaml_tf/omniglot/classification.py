"""Loss and accuracy of few-shot classification, per task."""

from collections.abc import Callable

import tensorflow as tf

from mmaml_tf.meta_learners import MetaLearner
from mmaml_tf.tasks import TaskBatch


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean over images of -log softmax(logits)[label], in nats.

    Args:
      labels: [tasks, N] integers, 0 ... classes - 1.
      logits: [tasks, N, classes].

    Returns:
      [tasks].
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses, 1)


def accuracy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Share of images whose largest logit is their label's: [tasks]; arguments as above."""
    is_right = tf.equal(labels, tf.argmax(logits, -1, output_type=labels.dtype))
    return tf.reduce_mean(tf.cast(is_right, logits.dtype), 1)


def step_accuracies(
    learner: MetaLearner, num_steps: int
) -> Callable[[TaskBatch], dict[str, tf.Tensor]]:
    """Measures query accuracy after 0, 1, ..., S gradient steps.

    Returns:
      batch -> `score` [tasks, S + 1], and `embedding` [tasks, v_dim] of learners that have one.
    """

    def measure(batch: TaskBatch) -> dict[str, tf.Tensor]:
        outcome = learner.adapt(batch.support, batch.query.x, num_steps=num_steps)
        scores = [accuracy(batch.query.y, logits) for logits in tf.unstack(outcome.predictions)]
        results = {"score": tf.stack(scores, 1)}
        if outcome.embedding is not None:
            results["embedding"] = outcome.embedding
        return results

    return measure
