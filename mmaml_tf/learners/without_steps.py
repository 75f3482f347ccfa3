"""Methods that answer queries at once: no gradient steps on a task."""

from abc import abstractmethod
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.meta_learner import MetaLearner, Predictor
from mmaml_tf.tasks import Examples, TaskBatch


class WithoutSteps(MetaLearner):
    """The support set is an input like any other; the model embeds its x and the queries.

    Args:
      model: an input x to a vector.
      **settings: see `MetaLearner`.

    Raises:
      ValueError: for a model of other outputs.
    """

    takes_embedding = True
    adapts_in_training = adapts_in_predictions = False

    def __init__(self, model: keras.Model, **settings: Any):
        super().__init__(model, **settings)
        if len(model.output_shape) != 2:
            raise ValueError(
                f"{model.name}: must embed an input as a vector, but its output has shape "
                f"{list(model.output_shape[1:])}; end it with Flatten or GlobalAveragePooling2D"
            )

    @abstractmethod
    def answer(self, support: Examples, queries: tf.Tensor) -> tf.Tensor:
        """Outputs for queries.

        Args:
          support: x embedded, [tasks, K, units], and y.
          queries: embedded, [tasks, N, units].

        Returns:
          [tasks, N, out_dim].
        """

    def embedded(self, support: Examples) -> Examples:
        """A support set with its x embedded."""
        return support._replace(x=self.network(support.x))

    def meta_loss(self, batch: TaskBatch, tau: Tau = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of the answers to the queries, [tasks], twice."""
        outputs = self.answer(self.embedded(batch.support), self.network(batch.query.x))
        losses = self.task_loss(batch.query.y, outputs)
        return losses, losses

    def predictors(
        self, support: Examples, tau: Tau, num_steps: int | None, mode: tf.Tensor | None = None
    ) -> list[Predictor]:
        """See `MetaLearner`: one, of the answers.

        Raises:
          ValueError: if it is to take gradient steps.
        """
        if num_steps:
            raise ValueError(f"{self.name} takes no gradient steps: num_steps={num_steps}")
        known, theta = self.embedded(support), self.network.prior()

        def predict(query_x: tf.Tensor) -> tf.Tensor:
            return self.answer(known, self.network.predict(query_x, theta, None, support.x))

        return [predict]
