"""Layers without weights that adapt: tasks and examples share one axis while they run."""

import inspect
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.rules import LayerCall, rule_for


def folded(call: LayerCall, *args: Any, **kwargs: Any) -> Any:
    """The layer or operation itself, on [tasks * N, ...]: right if it keeps examples apart."""
    tensors = [value for value in keras.tree.flatten((args, kwargs)) if tf.is_tensor(value)]
    lead = [_size(tensors[0], axis) for axis in (0, 1)]

    def fold(value: Any) -> Any:
        if not tf.is_tensor(value):
            return value
        return tf.reshape(value, tf.concat([[-1], tf.shape(value)[2:]], 0))

    def unfold(value: tf.Tensor) -> tf.Tensor:
        return tf.reshape(value, tf.concat([tf.stack(lead), tf.shape(value)[1:]], 0))

    args, kwargs = keras.tree.map_structure(fold, (args, kwargs))
    outputs = call.layer(*args, **kwargs, **in_training(call.layer))
    return keras.tree.map_structure(unfold, outputs)


def in_training(layer: Any) -> dict[str, bool]:
    """`training=True` for a layer that asks for it: models always run so."""
    asks = (
        isinstance(layer, keras.layers.Layer)
        and "training" in inspect.signature(layer.call).parameters
    )
    return {"training": True} if asks else {}


def _size(value: tf.Tensor, axis: int) -> int | tf.Tensor:
    return value.shape[axis] if value.shape[axis] is not None else tf.shape(value)[axis]


@rule_for(
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
)
def elementwise(call: LayerCall, x: Any) -> Any:
    """Layers that look at no axis but the last: nothing needs folding, unless inputs of several
    ranks are merged, which Keras does from the second axis on."""
    ranks = {value.shape.rank for value in keras.tree.flatten(x)}
    return call.layer(x) if len(ranks) == 1 else folded(call, x)
