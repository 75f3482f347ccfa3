"""Convolution and batch norm with fast weights, against TensorFlow's own operations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.layers.conv import conv2d
from mmaml_tf.layers.fast_weights import TaskWeights
from mmaml_tf.layers.gradients import WeightGradient
from mmaml_tf.layers.normalisation import conv_batch_norm
from mmaml_tf.layers.rules import LayerCall, Pass

TASKS, ROWS, CHANNELS, FILTERS = 3, 2, 2, 4
EPSILON = 1e-3  # Keras's default
# (size, kernel, stride): "same" padding is even, odd, one-sided and none; not square.
GEOMETRIES = [
    ((6, 6), (3, 3), 1),
    ((6, 5), (3, 2), 2),
    ((7, 7), (3, 3), 2),
    ((5, 4), (2, 2), 2),
    ((4, 4), (1, 1), 1),
    ((5, 5), (3, 3), 3),
]


def draw(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def make_conv(filters=FILTERS, kernel_size=3, strides=2, padding="same", **options):
    return keras.layers.Conv2D(filters, kernel_size, strides, padding, **options)


def run(rule, layer, x, weights, before=None, num_rows=None):
    fast = {id(one): TaskWeights(tuple(parts)) for one, parts in weights}
    return rule(LayerCall(layer, before, None, Pass(fast, None, None, None, num_rows)), x)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "kernel_size", "strides"), [*GEOMETRIES, ((9, 8), (2, 3), 1)])
def test_conv_with_a_kernel_per_task_is_a_conv_per_task(
    float64, size, kernel_size, strides, padding
):
    dilation = 2 if size == (9, 8) else 1
    layer = make_conv(FILTERS, kernel_size, strides, padding, dilation_rate=dilation)
    x = draw(TASKS, ROWS, *size, CHANNELS)
    kernels, biases = draw(TASKS, *kernel_size, CHANNELS, FILTERS, seed=1), draw(TASKS, FILTERS)
    expected = tf.stack(
        [
            tf.nn.conv2d(x[j], kernels[j], strides, padding.upper(), dilations=dilation) + biases[j]
            for j in range(TASKS)
        ]
    )
    # Float64 sums of at most 18 products.
    together = run(conv2d, layer, x, [(layer, (kernels, biases))])
    np.testing.assert_allclose(together, expected, atol=1e-12)
    for j in range(TASKS):
        own = [(layer, (kernels[j : j + 1], biases[j : j + 1]))]
        np.testing.assert_allclose(
            run(conv2d, layer, x[j : j + 1], own)[0], expected[j], atol=1e-12
        )
    shared = run(conv2d, layer, x, [(layer, (kernels[:1], biases[:1]))])
    np.testing.assert_allclose(shared[0], expected[0], atol=1e-12)
    np.testing.assert_allclose(
        shared[1],
        tf.nn.conv2d(x[1], kernels[0], strides, padding.upper(), dilations=dilation) + biases[0],
        atol=1e-12,
    )


def test_conv_takes_an_unknown_number_of_tasks_and_images(float64):
    layer = make_conv(use_bias=False)
    kernels = draw(TASKS, 3, 3, CHANNELS, FILTERS, seed=1)
    spec = tf.TensorSpec([None, None, 6, 6, CHANNELS], tf.float64)

    @tf.function(input_signature=[spec, tf.TensorSpec([None, 3, 3, CHANNELS, FILTERS], tf.float64)])
    def call(x, kernels):
        return run(conv2d, layer, x, [(layer, (kernels,))])

    x = draw(TASKS, ROWS, 6, 6, CHANNELS)
    expected = run(conv2d, layer, x, [(layer, (kernels,))])
    np.testing.assert_allclose(call(x, kernels), expected, atol=1e-12)


def test_updated_weights_take_each_tasks_step_size(float64):
    theta = TaskWeights((draw(1, 3, 3, CHANNELS, FILTERS, seed=1),))
    gradient = draw(TASKS, 3, 3, CHANNELS, FILTERS)
    sizes = tf.constant([0.1, 0.2, 0.3], tf.float64)
    (updated,) = theta.updated(WeightGradient((gradient,)), sizes).parts
    for task in range(TASKS):
        expected = theta.parts[0][0] - sizes[task] * gradient[task]
        np.testing.assert_allclose(updated[task], expected, atol=1e-15)


def normalised(x, kernels, scale, shift, num_rows=None):
    conv = make_conv(kernels.shape[-1], strides=1, use_bias=False)
    norm = keras.layers.BatchNormalization()
    weights = [(conv, (kernels,)), (norm, (scale, shift))]
    return run(conv_batch_norm, norm, x, weights, before=conv, num_rows=num_rows)


# With more filters than the 18 numbers that each sees it is computed from the patches.
@pytest.mark.parametrize("filters", [FILTERS, 20])
def test_normalised_conv_uses_each_tasks_own_statistics(float64, filters):
    x = draw(TASKS, ROWS, 5, 5, CHANNELS) * 5 + 2
    kernels = draw(TASKS, 3, 3, CHANNELS, filters, seed=1)
    scale, shift = draw(TASKS, filters, seed=2), draw(TASKS, filters, seed=3)
    result = normalised(x, kernels, scale, shift)
    for task in range(TASKS):
        z = tf.nn.conv2d(x[task], kernels[task], 1, "SAME").numpy()
        standard = (z - z.mean((0, 1, 2))) / np.sqrt(z.var((0, 1, 2)) + EPSILON)
        expected = scale[task] * standard + shift[task]
        np.testing.assert_allclose(result[task], expected, rtol=1e-9, atol=1e-10)
    # Another task's images, or their order, make no difference; nothing is remembered.
    alone = normalised(x[1:2, ::-1], kernels[1:2], scale[1:2], shift[1:2])
    np.testing.assert_allclose(alone[0, ::-1], result[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("filters", [FILTERS, 20])
@pytest.mark.parametrize("num_kernels", [1, TASKS])
def test_support_statistics_do_not_see_the_queries(float64, filters, num_kernels):
    support = draw(TASKS, 4, 3, 3, CHANNELS)
    query = draw(TASKS, 5, 3, 3, CHANNELS, seed=1) * 3 + 1
    kernels = draw(num_kernels, 3, 3, CHANNELS, filters, seed=2)
    affine = kernels, draw(1, filters, seed=3), draw(1, filters, seed=4)
    joined = normalised(tf.concat([support, query], 1), *affine, num_rows=4)
    np.testing.assert_allclose(joined[:, :4], normalised(support, *affine), rtol=1e-9, atol=1e-10)
    # A query is normalised the same whatever else is asked.
    fewer = normalised(tf.concat([support, query[:, :1]], 1), *affine, num_rows=4)
    np.testing.assert_allclose(fewer[:, 4], joined[:, 4], rtol=1e-9, atol=1e-10)
    assert not np.allclose(joined[:, 4:], normalised(query, *affine))


@pytest.mark.parametrize("filters", [FILTERS, 20])
def test_normalised_conv_takes_an_unknown_number_of_tasks_and_images(float64, filters):
    kernels = draw(1, 3, 3, CHANNELS, filters, seed=1)
    affine = kernels, draw(1, filters, seed=2), draw(1, filters, seed=3)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 6, 6, CHANNELS], tf.float64)])
    def call(x):
        return normalised(x, *affine, num_rows=1)

    x = draw(TASKS, ROWS, 6, 6, CHANNELS)
    np.testing.assert_allclose(call(x), normalised(x, *affine, num_rows=1), rtol=1e-9, atol=1e-10)


def test_constant_channels_are_normalised_to_the_shift(float64):
    # A filter of zeros has no variance; epsilon keeps the result, and its gradient, finite.
    x = draw(1, ROWS, 5, 5, CHANNELS)
    for filters in (FILTERS, 20):
        kernels = tf.zeros([1, 3, 3, CHANNELS, filters], tf.float64)
        shift = draw(1, filters)
        with tf.GradientTape() as tape:
            tape.watch(kernels)
            result = normalised(x, kernels, tf.ones([1, filters], tf.float64), shift)
        np.testing.assert_allclose(
            result, tf.broadcast_to(shift[:, None, None, None], result.shape), atol=1e-12
        )
        assert np.all(np.isfinite(tape.gradient(result, kernels)))
