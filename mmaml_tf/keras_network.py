"""Any Keras model as a base network: the general, slower path."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.base_network import BaseNetwork, copies_per_task
from mmaml_tf.layers.fast_weights import num_tasks_of
from mmaml_tf.layers.materialised import TaskWeights


class KerasNetwork(BaseNetwork):
    """Meta-learns an ordinary Keras model, one task after the other.

    Every trainable variable adapts. The model always runs in training mode, and its other state is
    not updated: batch norm uses the statistics of the set at hand, as in MAML, and no running
    averages. Nothing is known of the model's inside, so it can't be modulated, and fast weights are
    always materialised.

    Args:
      model: maps [N, ...] to [N, ...]; built or not.

    Raises:
      ValueError: when built, if the model draws random numbers (dropout, say): state that is not
        updated would draw the same ones for ever.
    """

    def __init__(self, model: keras.Model, **kwargs):
        super().__init__(**kwargs)
        self.model = model

    def build(self, input_shape: tuple) -> None:
        """Builds the model for inputs [tasks, N, ...]."""
        if not self.model.built:
            self.model.build((None, *input_shape[2:]))
        updated = {id(variable) for variable in self.model.non_trainable_weights}
        drawn = [v.path for v in self.model.non_trainable_variables if id(v) not in updated]
        if drawn:
            raise ValueError(f"{drawn[0]}: a model that draws random numbers can't be meta-learned")

    def prior(self, groups: tf.Tensor | None = None) -> list[TaskWeights]:
        """theta as fast weights, one entry per trainable variable."""
        return [TaskWeights.prior(variable) for variable in self.model.trainable_variables]

    def forward(
        self,
        x: tf.Tensor,
        fast: list[TaskWeights],
        tau: Sequence[tf.Tensor] | None = None,
        watch: Callable[[tf.Tensor], None] | None = None,
    ) -> tuple[tf.Tensor, list[Any]]:
        """See `BaseNetwork`. The trace is the fast weights themselves, one copy per task.

        Raises:
          ValueError: if tau is given.
        """
        if tau is not None:
            raise ValueError("a Keras model of unknown structure can't be modulated")
        weights = copies_per_task(fast, num_tasks_of(x), watch)
        state = [tf.convert_to_tensor(v) for v in self.model.non_trainable_variables]

        def one_task(task: tuple[tf.Tensor, list[TaskWeights]]) -> tf.Tensor:
            inputs, trainable = task[0], tf.nest.flatten(task[1])
            return self.model.stateless_call(trainable, state, inputs, training=True)[0]

        outputs = tf.map_fn(one_task, (x, weights), fn_output_signature=x.dtype)
        return outputs, weights
