"""The GRU with cheap Jacobian products, against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.encoders.long_gru import LongGRU
from mmaml_tf.rl.meta_trpo import linear_map

UNITS, WIDTH, LENGTHS, T = 4, 3, [7, 5, 1], 7


@pytest.fixture
def twins():
    """The GRU and Keras's with the same random weights, sequences and mask; float64."""
    keras.utils.set_random_seed(3)
    pair = [
        LongGRU(UNITS, dtype="float64"),
        keras.layers.GRU(UNITS, use_cudnn=False, dtype="float64"),
    ]
    rng = np.random.default_rng(0)
    for layer in pair:
        layer.build((None, None, WIDTH))
    weights = [rng.normal(size=value.shape) for value in pair[0].get_weights()]
    for layer in pair:
        layer.set_weights(weights)
    sequences = tf.constant(rng.normal(size=[len(LENGTHS), T, WIDTH]))
    return pair, sequences, tf.sequence_mask(LENGTHS, T)


def test_last_state_is_kerass(twins):
    (long, plain), sequences, mask = twins
    np.testing.assert_allclose(
        long(sequences, mask=mask), plain(sequences, mask=mask), rtol=0, atol=1e-13
    )


def test_gradients_in_weights_and_inputs_are_kerass(twins):
    layers, sequences, mask = twins
    found = []
    for layer in layers:
        with tf.GradientTape() as tape:
            tape.watch(sequences)
            loss = tf.reduce_sum(layer(sequences, mask=mask) ** 2)
        found.append(tape.gradient(loss, [sequences, *layer.trainable_variables]))
    for ours, kerass in zip(*found, strict=True):
        assert float(tf.reduce_max(tf.abs(kerass))) > 1e-3
        np.testing.assert_allclose(ours, kerass, rtol=0, atol=1e-12)


def test_jacobian_products_are_kerass(twins):
    layers, sequences, mask = twins
    rng = np.random.default_rng(1)
    tangents = [tf.constant(rng.normal(size=v.shape)) for v in layers[0].trainable_variables]
    cotangent = tf.constant(rng.normal(size=[len(LENGTHS), UNITS]))
    found = []
    for layer in layers:

        @tf.function(autograph=False)
        def products(layer=layer):
            variables = [variable.value for variable in layer.trainable_variables]
            _, push, pull = linear_map(variables, lambda: layer(sequences, mask=mask))
            return [push(tangents), *pull(cotangent)]

        found.append(products())
    for ours, kerass in zip(*found, strict=True):
        np.testing.assert_allclose(ours, kerass, rtol=0, atol=1e-12)
    # <w, J v> = <J^T w, v>
    pushed, *pulled = found[0]
    inner = sum(tf.reduce_sum(a * b) for a, b in zip(pulled, tangents, strict=True))
    np.testing.assert_allclose(inner, tf.reduce_sum(cotangent * pushed), rtol=1e-12)


def test_second_derivative_is_an_error(twins):
    (long, _), sequences, mask = twins
    with tf.GradientTape() as outer:
        outer.watch(sequences)
        with tf.GradientTape() as inner:
            inner.watch(sequences)
            loss = tf.reduce_sum(long(sequences, mask=mask))
        gradient = inner.gradient(loss, sequences)
    with pytest.raises(LookupError, match="no second derivative"):
        outer.gradient(gradient, sequences)
