"""Keras models of every kind that the engine runs, and a plain evaluation of their meta-loss."""

import keras
import numpy as np
import tensorflow as tf

from mmaml_tf.learners.maml import MAML
from mmaml_tf.tasks import Examples, TaskBatch

TASKS, SHOTS, QUERIES = 3, 4, 5
RATE, STEPS = 0.1, 2
K = keras.layers


def _conv_with(norm):
    inputs = keras.Input([5, 5, 2])
    h = K.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    h = K.ReLU()(norm(h))
    return keras.Model(inputs, K.Dense(2)(K.GlobalAveragePooling2D()(h)))


def batch_norm():
    return _conv_with(K.BatchNormalization())


def batch_norm_from_patches():
    inputs = keras.Input([5, 5, 1])
    h = K.Conv2D(12, 3, strides=2, use_bias=False)(inputs)
    h = K.Activation("tanh")(K.BatchNormalization(scale=False)(h))
    return keras.Model(inputs, K.Dense(2)(K.Flatten()(h)))


def dense_batch_norm():
    return keras.Sequential(
        [keras.Input([3]), K.Dense(6, use_bias=False), K.BatchNormalization(), K.ReLU(), K.Dense(1)]
    )


def layer_norm():
    return keras.Sequential(
        [keras.Input([3]), K.Dense(6), K.LayerNormalization(), K.Activation("tanh"), K.Dense(1)]
    )


def layer_norm_of_images():
    return _conv_with(K.LayerNormalization(axis=[1, 2, 3]))


def group_norm():
    return _conv_with(K.GroupNormalization(groups=2))


def residual():
    inputs = keras.Input([3])
    h = K.Dense(6, activation="tanh")(inputs)
    h = h + K.Dense(6, activation="tanh")(K.LayerNormalization()(h))
    h = K.Add()([h, keras.ops.tanh(h) * 0.5])
    return keras.Model(inputs, K.Dense(1)(h))


def shared_layer():
    inputs = keras.Input([3])
    layer = K.Dense(5, activation="tanh")
    h = K.Dense(5, activation="tanh")(inputs)
    return keras.Model(inputs, K.Dense(1)(layer(layer(h))))


def nested():
    inner_inputs = keras.Input([4])
    inner = keras.Model(inner_inputs, K.Dense(4, activation="tanh")(inner_inputs) + inner_inputs)
    tail = keras.Sequential([keras.Input([4]), K.Dense(3, activation="relu"), K.Dense(2)])
    inputs = keras.Input([3])
    return keras.Model(inputs, tail(inner(inner(K.Dense(4)(inputs)))))


def no_bias():
    return keras.Sequential(
        [keras.Input([3]), K.Dense(7, "tanh", use_bias=False), K.Dense(2, use_bias=False)]
    )


def embedding():
    return keras.Sequential(
        [
            keras.Input([4], dtype="int32"),
            K.Embedding(6, 3),
            K.Dense(5, activation="tanh"),
            K.GlobalAveragePooling1D(),
            K.Dense(1),
        ]
    )


def pooling():
    return keras.Sequential(
        [
            keras.Input([8, 7, 1]),
            K.ZeroPadding2D(1),
            K.Conv2D(3, (3, 2), strides=(2, 1), activation="tanh"),
            K.MaxPooling2D(2),
            K.Conv2D(2, 2, dilation_rate=2, padding="same"),
            K.LeakyReLU(),
            K.AveragePooling2D((1, 2)),
            K.Flatten(),
            K.Dense(2),
        ]
    )


def fallback():
    return keras.Sequential(
        [
            keras.Input([6, 2]),
            K.Conv1D(4, 3, activation="tanh"),
            K.PReLU(),
            K.GRU(3),
            K.EinsumDense("bc,cd->bd", 4, bias_axes="d"),
            K.Dense(1),
        ]
    )


def attention():
    inputs = keras.Input([4, 3])
    h = K.MultiHeadAttention(2, 2)(inputs, inputs)
    h = K.Add()([h, K.GlobalAveragePooling1D()(h)])  # of other ranks
    return keras.Model(inputs, K.Dense(1)(K.Flatten()(h)))


def frozen():
    layer = K.Dense(4, activation="tanh")
    model = keras.Sequential([keras.Input([3]), layer, K.Dense(2, activation="tanh"), K.Dense(1)])
    layer.trainable = False
    return model


MODELS = [
    batch_norm,
    batch_norm_from_patches,
    dense_batch_norm,
    layer_norm,
    layer_norm_of_images,
    group_norm,
    residual,
    shared_layer,
    nested,
    no_bias,
    embedding,
    pooling,
    fallback,
    attention,
    frozen,
]


def make_learner(model, **settings):
    """A MAML on it, with generic weights."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(0.3 * rng.normal(size=variable.shape))
    return MAML(model, **{"inner_steps": STEPS, "inner_lr": RATE, **settings})


def make_batch(model, seed=0):
    """Generic tasks for it."""
    rng = np.random.default_rng(seed)

    def examples(number):
        shape = (TASKS, number, *model.input_shape[1:])
        if model.inputs[0].dtype == "int32":
            x = tf.constant(rng.integers(0, 6, shape), tf.int32)
        else:
            x = tf.constant(rng.normal(size=shape), keras.config.floatx())
        y = rng.normal(size=(TASKS, number, *model.output_shape[1:]))
        return Examples(x, tf.constant(y, keras.config.floatx()))

    return TaskBatch(examples(SHOTS), examples(QUERIES), tf.zeros(TASKS, tf.int32))


def plain_losses(model, batch, theta):
    """Each task's query loss after the inner loop, by Keras, one task after the other."""
    state = model.non_trainable_variables

    def outputs(weights, x):
        return model.stateless_call(weights, state, x, training=True)[0]

    losses = []
    for task in range(TASKS):
        x, y = batch.support.x[task], batch.support.y[task]
        weights = [tf.convert_to_tensor(part) for part in theta]
        for _ in range(STEPS):
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss = tf.reduce_mean((y - outputs(weights, x)) ** 2)
            gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, weights)]
            weights = [w - RATE * g for w, g in zip(weights, gradients, strict=True)]
        predicted = outputs(weights, batch.query.x[task])
        losses.append(tf.reduce_mean((batch.query.y[task] - predicted) ** 2))
    return tf.stack(losses)
