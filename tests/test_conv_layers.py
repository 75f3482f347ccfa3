"""Convolution and batch norm with fast weights, against TensorFlow's own operations."""

import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.layers.batch_norm import EPSILON, FastScaleShift, normalise
from mmaml_tf.layers.conv import FastConv2D
from mmaml_tf.layers.fast_weights import WeightGradient
from mmaml_tf.layers.materialised import TaskWeights

TASKS, ROWS, CHANNELS, FILTERS = 3, 2, 2, 4
# Sizes and strides whose "SAME" padding is even, odd, one-sided and none.
GEOMETRIES = [(6, 3, 1), (6, 3, 2), (7, 3, 2), (5, 2, 2), (4, 1, 1), (5, 3, 3)]


def draw(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def make_conv(kernel_size=3, strides=2):
    layer = FastConv2D(FILTERS, kernel_size, strides)
    layer.build((None, None, None, None, CHANNELS))
    return layer


@pytest.mark.parametrize("size, kernel_size, strides", GEOMETRIES)
def test_conv_with_a_kernel_per_task_is_a_conv_per_task(float64, size, kernel_size, strides):
    layer = make_conv(kernel_size, strides)
    x = draw(TASKS, ROWS, size, size, CHANNELS)
    kernels = draw(TASKS, kernel_size, kernel_size, CHANNELS, FILTERS, seed=1)
    expected = tf.stack([tf.nn.conv2d(x[j], kernels[j], strides, "SAME") for j in range(TASKS)])
    # Float64 sums of at most 18 products.
    np.testing.assert_allclose(layer(x, TaskWeights((kernels,))), expected, atol=1e-12)
    for task in range(TASKS):
        single = layer(x[task : task + 1], TaskWeights((kernels[task : task + 1],)))
        np.testing.assert_allclose(single[0], expected[task], atol=1e-12)


def test_conv_of_the_prior_uses_theta_for_every_task(float64):
    layer = make_conv()
    x = draw(TASKS, ROWS, 6, 6, CHANNELS)
    expected = tf.stack([tf.nn.conv2d(x[j], layer.kernel.value, 2, "SAME") for j in range(TASKS)])
    np.testing.assert_allclose(layer(x), expected, atol=1e-12)


@pytest.mark.parametrize("num_tasks", [1, TASKS])
@pytest.mark.parametrize("size, kernel_size, strides", GEOMETRIES)
def test_conv_gradient_is_every_tasks_own(float64, size, kernel_size, strides, num_tasks):
    layer = make_conv(kernel_size, strides)
    x = draw(num_tasks, ROWS, size, size, CHANNELS)
    out = layer.output_size(size)
    deltas = draw(num_tasks, ROWS, out, out, FILTERS, seed=2)
    (gradient,) = layer.gradient(x, deltas).parts
    for task in range(num_tasks):
        kernel = tf.identity(layer.kernel.value)
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            loss = tf.reduce_sum(tf.nn.conv2d(x[task], kernel, strides, "SAME") * deltas[task])
        np.testing.assert_allclose(gradient[task], tape.gradient(loss, kernel), atol=1e-12)


def test_conv_takes_an_unknown_number_of_tasks_and_images(float64):
    layer = make_conv()
    kernels = draw(TASKS, 3, 3, CHANNELS, FILTERS, seed=1)
    spec = tf.TensorSpec([None, None, 6, 6, CHANNELS], tf.float64)

    @tf.function(input_signature=[spec, tf.TensorSpec([None, 3, 3, CHANNELS, FILTERS], tf.float64)])
    def call(x, kernels):
        return layer(x, TaskWeights((kernels,)))

    x = draw(TASKS, ROWS, 6, 6, CHANNELS)
    np.testing.assert_allclose(call(x, kernels), layer(x, TaskWeights((kernels,))), atol=1e-12)


def test_updated_weights_take_each_tasks_step_size(float64):
    theta = TaskWeights.prior(make_conv().kernel)
    gradient = draw(TASKS, 3, 3, CHANNELS, FILTERS)
    sizes = tf.constant([0.1, 0.2, 0.3], tf.float64)
    (updated,) = theta.updated(WeightGradient((gradient,)), sizes).parts
    for task in range(TASKS):
        expected = theta.parts[0][0] - sizes[task] * gradient[task]
        np.testing.assert_allclose(updated[task], expected, atol=1e-15)


def test_no_sets_of_slow_weights_per_mode():
    for layer in (make_conv(), FastScaleShift()):
        with pytest.raises(ValueError, match="one per mode"):
            layer.prior(groups=tf.constant([0, 1]))


def test_normalise_uses_each_tasks_own_statistics(float64):
    x = draw(TASKS, ROWS, 3, 3, CHANNELS) * 5 + 2
    normal = normalise(x).numpy()
    np.testing.assert_allclose(normal.mean((1, 2, 3)), 0, atol=1e-12)
    variance = x.numpy().var((1, 2, 3))
    np.testing.assert_allclose(normal.var((1, 2, 3)), variance / (variance + EPSILON), atol=1e-12)
    # Another task's images, or their order, make no difference; nothing is remembered.
    alone = normalise(x[1:2, ::-1])
    np.testing.assert_allclose(alone[0, ::-1], normal[1], atol=1e-12)


def test_support_statistics_do_not_see_the_queries(float64):
    support, query = draw(TASKS, 4, 3, 3, CHANNELS), draw(TASKS, 5, 3, 3, CHANNELS, seed=1) * 3 + 1
    joined = normalise(tf.concat([support, query], 1), num_rows=4)
    np.testing.assert_allclose(joined[:, :4], normalise(support), atol=1e-12)
    # A query is normalised the same whatever else is asked.
    fewer = normalise(tf.concat([support, query[:, :1]], 1), num_rows=4)
    np.testing.assert_allclose(fewer[:, 4], joined[:, 4], atol=1e-12)
    assert not np.allclose(joined[:, 4:], normalise(query))


def test_scale_and_shift_per_task_and_their_gradients(float64):
    layer = FastScaleShift()
    layer.build((None, None, None, None, CHANNELS))
    x = draw(TASKS, ROWS, 3, 3, CHANNELS)
    np.testing.assert_array_equal(layer(x), x)
    scale, shift = draw(TASKS, CHANNELS, seed=1), draw(TASKS, CHANNELS, seed=2)
    deltas = draw(*x.shape, seed=3)
    with tf.GradientTape() as tape:
        tape.watch([scale, shift])
        z = layer(x, TaskWeights((scale, shift)))
        loss = tf.reduce_sum(z * deltas)
    for task in range(TASKS):
        np.testing.assert_allclose(z[task], scale[task] * x[task] + shift[task], atol=1e-12)
    gradients = layer.gradient(x, deltas).parts
    for mine, expected in zip(gradients, tape.gradient(loss, [scale, shift]), strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-12)
