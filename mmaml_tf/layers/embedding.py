"""Embeddings: one table of vectors per task."""

import keras
import tensorflow as tf

from mmaml_tf.layers.rules import LayerCall, has_own_weights, rule_for


@rule_for(keras.layers.Embedding, fits=has_own_weights)
def embedding(call: LayerCall, x: tf.Tensor) -> tf.Tensor:
    """Rows of the table: integers [tasks, N, ...] -> [tasks, N, ..., units]."""
    (table,) = call.weights
    index = x if x.dtype.is_integer else tf.cast(x, tf.int32)
    if table.shape[0] == 1:
        return tf.gather(tf.squeeze(table, 0), index)
    return tf.gather(table, index, batch_dims=1)
