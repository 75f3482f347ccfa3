"""Layers with weights and without a rule: one task after the other."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import copy_per_task, num_tasks_of
from mmaml_tf.layers.folded import in_training
from mmaml_tf.layers.rules import LayerCall


def one_by_one(call: LayerCall, *args: Any, **kwargs: Any) -> Any:
    """The layer itself on every task's [N, ...], with its weights; other state isn't kept."""
    layer, structure = call.layer, (args, kwargs)
    flat = keras.tree.flatten(structure)
    batched = [index for index, value in enumerate(flat) if tf.is_tensor(value)]
    inputs = [flat[index] for index in batched]
    num_tasks = num_tasks_of(inputs[0])
    weights = [copy_per_task(part, num_tasks) for part in call.weights]
    state = [tf.convert_to_tensor(variable) for variable in layer.non_trainable_variables]

    def one_task(task: tuple[list[tf.Tensor], list[tf.Tensor]]) -> Any:
        values, task_weights = task
        filled = list(flat)
        for index, value in zip(batched, values, strict=True):
            filled[index] = value
        task_args, task_kwargs = keras.tree.pack_sequence_as(structure, filled)
        outputs, _ = layer.stateless_call(
            task_weights, state, *task_args, **task_kwargs, **in_training(layer)
        )
        return outputs

    if isinstance(num_tasks, int) and (num_tasks == 1 or tf.executing_eagerly()):
        # Vectorizing takes longer than a few tasks do.
        each = [
            one_task(tf.nest.map_structure(lambda part, j=j: part[j], (inputs, weights)))
            for j in range(num_tasks)
        ]
        return tf.nest.map_structure(lambda *outputs: tf.stack(outputs), *each)
    return tf.vectorized_map(one_task, (inputs, weights))
