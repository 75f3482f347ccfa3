"""Any Keras model can be meta-learned; on a dense network it equals the fast path."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.adaptation import InnerLoop
from mmaml_tf.keras_network import KerasNetwork
from mmaml_tf.meta_learners import MAML, mean_squared_error
from tests.learners import HIDDEN, make_batch, make_learner, meta_gradient


def keras_learner(model, **loop):
    inner_loop = InnerLoop(**{"num_steps": 5, "learning_rate": 0.1, **loop})
    learner = MAML(KerasNetwork(model), inner_loop, mean_squared_error)
    learner.build_for(x_dim=1, y_dim=1)
    return learner


def test_equals_the_fast_path(float64):
    fast = make_learner(bias_transformation_size=0, clip_norm=0.5)
    layers = [keras.layers.Dense(units, activation="relu") for units in HIDDEN]
    model = keras.Sequential([keras.Input([1]), *layers, keras.layers.Dense(1)])
    model.set_weights([w[0] for w in fast.network.get_weights()])
    general = keras_learner(model, clip_norm=0.5)
    batch = make_batch()
    loss, gradients = meta_gradient(fast, batch)
    other_loss, other_gradients = meta_gradient(general, batch)
    np.testing.assert_allclose(other_loss, loss, rtol=1e-10)
    for gradient, other in zip(gradients, other_gradients, strict=True):
        np.testing.assert_allclose(other, gradient[0], rtol=1e-9, atol=1e-12)


def test_trains_a_model_with_skips_and_normalisation():
    inputs = keras.Input([1])
    h = keras.layers.Dense(16, activation="tanh")(inputs)
    h = keras.layers.LayerNormalization()(keras.layers.Dense(16)(h) + h)
    learner = keras_learner(keras.Model(inputs, keras.layers.Dense(1)(h)), num_steps=2)
    learner.compile(optimizer=keras.optimizers.Adam(0.01), jit_compile=False)
    batch = make_batch()
    tasks = tf.data.Dataset.from_tensors(batch).repeat()
    before = [v.numpy() for v in learner.trainable_variables]
    history = learner.fit(tasks, epochs=4, steps_per_epoch=5, verbose=0, shuffle=False).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    for variable, value in zip(learner.trainable_variables, before, strict=True):
        assert np.any(variable != value), variable.path


def test_batch_norm_uses_the_set_at_hand_and_random_layers_are_refused():
    layers = [keras.Input([1]), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    learner = keras_learner(keras.Sequential(layers), num_steps=0)
    batch = make_batch()
    one, moved = (
        learner.adapt(batch.support, x).predictions for x in (batch.query.x, batch.query.x + 5)
    )
    np.testing.assert_allclose(moved, one, rtol=1e-3, atol=1e-4)
    dropout = keras.Sequential([*layers, keras.layers.Dropout(0.5)])
    with pytest.raises(ValueError, match="draws random numbers"):
        keras_learner(dropout)
