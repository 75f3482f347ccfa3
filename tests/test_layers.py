"""Layers with fast weights and modulations, against hand-computed numbers."""

import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.encoders.lstm import BiLSTMEncoder
from mmaml_tf.encoders.pairs import PairEncoder
from mmaml_tf.layers.appended import BiasTransformation
from mmaml_tf.layers.fast_weights import FactoredWeights, TaskWeights
from mmaml_tf.layers.gradients import OuterProductGradient
from mmaml_tf.layers.modulation import MODULATIONS, FiLM, Modulation, register
from mmaml_tf.learners.modulator import Modulator

X = tf.constant([[[1.0, 2.0], [3.0, -1.0]], [[0.5, 0.0], [-2.0, 1.0]]])  # [2 tasks, 2 rows, 2]
H = tf.constant([[[1.0, -2.0]], [[3.0, 0.5]]])  # [2 tasks, 1 row, 2 units]


def test_film_by_hand():
    tau = tf.constant([[0.5, -1.0, 10.0, 20.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(FiLM()(H, tau), [[[11.5, 20.0]], [[3.0, 0.5]]])


def test_sigmoid_by_hand():
    tau = tf.math.log(tf.constant([[1.0, 3.0], [9.0, 1.0]]))  # sigmoid(log a) = a / (1 + a)
    expected = [[[0.5, -1.5]], [[2.7, 0.25]]]
    np.testing.assert_allclose(MODULATIONS["sigmoid"]()(H, tau), expected, rtol=1e-6)


def test_softmax_by_hand():
    tau = tf.math.log(tf.constant([[1.0, 3.0], [4.0, 1.0]]))
    expected = [[[0.25, -1.5]], [[2.4, 0.1]]]
    np.testing.assert_allclose(MODULATIONS["softmax"]()(H, tau), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["film", "sigmoid", "softmax"])
def test_modulation_broadcasts_over_positions(name):
    """A conv map [tasks, N, height, width, channels] is modulated per channel."""
    modulation = MODULATIONS[name]()
    tau = tf.random.stateless_normal([2, modulation.num_parameters(3)], [0, 1])
    maps = tf.random.stateless_normal([2, 4, 5, 5, 3], [0, 2])
    flat = modulation(tf.reshape(maps, [2, 100, 3]), tau)
    np.testing.assert_allclose(
        tf.reshape(modulation(maps, tau), [2, 100, 3]), flat, rtol=1e-6, atol=1e-7
    )


def test_a_new_modulation_is_one_class_and_one_registration():
    @register("shift")
    class Shift(Modulation):
        def call(self, h, tau):
            return h + tau[:, None]

    try:
        assert MODULATIONS["shift"] is Shift
        np.testing.assert_allclose(Shift()(H, tf.ones([2, 2])), H + 1)
    finally:
        del MODULATIONS["shift"]


@pytest.mark.parametrize("form", [FactoredWeights, TaskWeights])
def test_dense_step_by_hand(form):
    """One task of one row: W - alpha x^T d and b - alpha d."""
    kernel, bias = tf.constant([[[1.0], [2.0]]]), tf.constant([[0.5]])
    gradient = OuterProductGradient(tf.constant([[[3.0, -1.0]]]), tf.constant([[[2.0]]]))
    fast = form((kernel, bias)).updated(gradient, 0.1)
    # W' = [1 - 0.6, 2 + 0.2], b' = 0.5 - 0.2; x = [10, 1].
    np.testing.assert_allclose(
        fast.affine(tf.constant([[[10.0, 1.0]]])), [[[4.0 + 2.2 + 0.3]]], rtol=1e-6
    )
    without = OuterProductGradient(gradient.inputs, gradient.deltas, has_bias=False)
    fast = form((kernel,)).updated(without, 0.1)
    np.testing.assert_allclose(fast.affine(tf.constant([[[10.0, 1.0]]])), [[[6.2]]], rtol=1e-6)


def test_step_size_per_task():
    prior = TaskWeights((tf.ones([1, 2, 1]), tf.zeros([1, 1])))
    gradient = OuterProductGradient(X, tf.ones([2, 2, 1]))
    kernel, bias = prior.updated(gradient, tf.constant([1.0, 0.0])).parts
    np.testing.assert_allclose(kernel, [[[1.0 - 4.0], [1.0 - 1.0]], [[1.0], [1.0]]])
    np.testing.assert_allclose(bias, [[-2.0], [0.0]])


def test_squared_norm_from_gram_matrices():
    gradient = OuterProductGradient(X, tf.constant([[[1.0], [2.0]], [[-1.0], [3.0]]]))
    # Task 0: X^T D = [7, 0], sum D = 3; task 1: [-6.5, 3], sum D = 2.
    np.testing.assert_allclose(gradient.squared_norm(), [58.0, 55.25])
    np.testing.assert_allclose(gradient.formed().squared_norm(), [58.0, 55.25])
    without = OuterProductGradient(gradient.inputs, gradient.deltas, has_bias=False)
    np.testing.assert_allclose(without.squared_norm(), [49.0, 51.25])
    np.testing.assert_allclose(without.formed().squared_norm(), [49.0, 51.25])


@pytest.mark.parametrize("form", [FactoredWeights, TaskWeights])
def test_groups_serve_equal_parts_of_the_batch(form):
    x = tf.random.stateless_normal([6, 4, 2], [1, 2])
    kernels = tf.random.stateless_normal([2, 2, 3], [1, 3])
    biases = tf.random.stateless_normal([2, 3], [1, 4])
    z = form((kernels, biases)).affine(x)
    for task in range(6):
        group = task // 3
        np.testing.assert_allclose(
            z[task], x[task] @ kernels[group] + biases[group], rtol=1e-5, atol=1e-6
        )


def test_bias_transformation_appends_its_vector():
    layer = BiasTransformation(2)
    layer.build((None, 2))
    layer.vector.assign([7.0, 8.0])
    expected = np.concatenate([X[0], np.broadcast_to([7.0, 8.0], (2, 2))], -1)
    np.testing.assert_array_equal(layer(X[0]), expected)


def test_encoder_embedding_is_the_two_final_states(float64):
    """v = last forward output, first backward output; written out with the layer's own cells."""
    encoder = BiLSTMEncoder(3, num_layers=1)
    encoder.build((None, None, 1), (None, None, 1))
    x, y = np.random.default_rng(0).normal(size=(2, 2, 4, 1))
    pairs = np.concatenate([x, y], -1)

    def final_output(lstm, sequence):
        (kernel, recurrent, bias), h, c = lstm.get_weights(), np.zeros((2, 3)), np.zeros((2, 3))
        for step in sequence:
            i, f, g, o = np.split(step @ kernel + h @ recurrent + bias, 4, axis=1)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
        return h

    (both,) = encoder.layers
    steps = pairs.transpose(1, 0, 2)
    expected = np.concatenate(
        [final_output(both.forward_layer, steps), final_output(both.backward_layer, steps[::-1])],
        axis=1,
    )
    np.testing.assert_allclose(encoder(tf.constant(x), tf.constant(y)), expected, rtol=1e-10)


def test_encoder_unrolled_equals_looped(float64):
    encoder = BiLSTMEncoder(4)
    encoder.build((None, None, 1), (None, None, 1))
    x, y = tf.constant(np.random.default_rng(0).normal(size=(2, 3, 5, 1)))
    anything = tf.TensorSpec([None, None, 1], tf.float64)
    looped = tf.function(encoder.call, input_signature=[anything, anything])
    np.testing.assert_allclose(looped(x, y), encoder(x, y), rtol=1e-12)


def test_pair_encoder_written_out_in_any_order(float64):
    encoder = PairEncoder(3)
    encoder.build((None, None, 1), (None, None, 1))
    for variable in encoder.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    x, y = np.random.default_rng(0).normal(size=(2, 1, 4, 1))
    f1, f2, g1, g2 = (
        lambda h, layer=layer: h @ layer.get_weights()[0] + layer.get_weights()[1]
        for layer in (*encoder.of_pairs, *encoder.of_task)
    )
    points = np.concatenate([x[0], y[0]], -1)
    pairs = [np.concatenate([a, b]) for a in points for b in points]
    pooled = np.mean([np.maximum(f2(np.maximum(f1(pair), 0)), 0) for pair in pairs], 0)
    expected = g2(np.maximum(g1(pooled), 0))
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        actual = encoder(tf.constant(x[:, order]), tf.constant(y[:, order]))
        np.testing.assert_allclose(actual[0], expected, rtol=1e-10)


def test_modulator_is_the_heads_of_the_encoders_embedding():
    modulator = Modulator(PairEncoder(4), FiLM(), (5, 7))
    y = X[..., :1]
    modulator.build_on(X, y)
    tau, v = modulator(X, y)
    assert [part.shape for part in tau] == [(2, 10), (2, 14)]
    encoder, heads = modulator.encoder, modulator.heads
    np.testing.assert_array_equal(v, encoder(X, y))
    for part, head in zip(tau, heads, strict=True):
        np.testing.assert_array_equal(part, head(v))
    assert all(np.ptp(part) > 0.1 for part in tau)
    none = Modulator(encoder, FiLM(), (5, 7), head_initializer="zeros")
    none.build_on(X, y)
    assert not any(part.numpy().any() for part in none(X, y)[0])
    # The order that checkpoints hold them in.
    omega = [*encoder.trainable_variables, *(w for head in heads for w in head.trainable_variables)]
    for one, other in zip(modulator.trainable_variables, omega, strict=True):
        assert one is other
