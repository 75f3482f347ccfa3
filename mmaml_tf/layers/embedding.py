"""Embeddings: one table of vectors per task."""

import keras
import tensorflow as tf

from mmaml_tf.layers.rules import LayerCall, rule_for


def _is_plain(layer: keras.layers.Embedding) -> bool:
    return not layer.lora_enabled and layer.quantization_mode is None


@rule_for(keras.layers.Embedding, fits=_is_plain)
def embedding(call: LayerCall, x: tf.Tensor) -> tf.Tensor:
    """Rows of the table: integers [tasks, N, ...] -> [tasks, N, ..., units]."""
    (table,) = call.weights
    index = x if x.dtype.is_integer else tf.cast(x, tf.int32)
    if table.shape[0] == 1:
        return tf.gather(tf.squeeze(table, 0), index)
    return tf.gather(table, index, batch_dims=1)
