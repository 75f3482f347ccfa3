"""Dense layers: one product of all tasks' rows, or one per task."""

import keras
import tensorflow as tf

from mmaml_tf.layers.rules import LayerCall, has_own_weights, rule_for


@rule_for(keras.layers.Dense, fits=has_own_weights, at_outputs=True)
def dense(call: LayerCall, x: tf.Tensor) -> tf.Tensor:
    """a(modulation(x W' + b')): [tasks, N, ..., in] -> [tasks, N, ..., out]."""
    layer = call.layer
    is_flat = x.shape.rank == 3
    rows = x if is_flat else tf.reshape(x, [tf.shape(x)[0], -1, x.shape[-1]])
    z = call.fast.affine(rows)
    call.differentiated_at(rows, z)
    if not is_flat:
        z = tf.reshape(z, tf.concat([tf.shape(x)[:-1], [layer.units]], 0))
    return layer.activation(call.modulated(z))
