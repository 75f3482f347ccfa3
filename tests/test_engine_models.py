"""Any Keras model as the base network: against Keras itself, one task after the other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.encoders.pairs import PairEncoder
from mmaml_tf.layers.modulation import FiLM
from mmaml_tf.learners.losses import mean_squared_error
from mmaml_tf.learners.maml import MAML
from mmaml_tf.learners.mumomaml import MuMoMAML
from mmaml_tf.networks.models import conv_net, gaussian_policy, mlp
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.tasks import Examples
from tests import engine_models
from tests.engine_models import MODELS, K, make_batch, make_learner, plain_losses

every_model = pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)


def meta_gradient(learner, batch):
    losses, _, groups = learner.meta_gradients(batch)
    return losses, [g for group in groups for g in group]


@every_model
@pytest.mark.parametrize("map_tasks", [False, True], ids=["batched", "mapped"])
def test_meta_gradient_is_the_difference_quotient_of_keras(float64, make, map_tasks):
    """Independent of every second derivative that Keras or the engine takes."""
    model = make()
    options = [  # factored fast weights in one of the two
        dict(task_batching="batched", fast_weights="materialised"),
        dict(task_batching="map", fast_weights="factored"),
    ]
    learner = make_learner(model, **options[map_tasks])
    batch = make_batch(model)
    theta = [variable.numpy() for variable in model.trainable_variables]
    losses, gradients = meta_gradient(learner, batch)
    np.testing.assert_allclose(losses, plain_losses(model, batch, theta), rtol=1e-10)
    rng, step = np.random.default_rng(1), 1e-6
    directions = [rng.normal(size=part.shape) for part in theta]
    above, below = (
        plain_losses(model, batch, [t + sign * d for t, d in zip(theta, directions, strict=True)])
        for sign in (step, -step)
    )
    slope = float(tf.reduce_mean(above) - tf.reduce_mean(below)) / (2 * step)
    parts = [float(np.sum(g * d)) for g, d in zip(gradients, directions, strict=True)]
    # Central differences in float64: rounding 1e-16 / 1e-6 and step^2.
    np.testing.assert_allclose(sum(parts), slope, rtol=1e-7, atol=1e-8)


@every_model
def test_a_task_alone_is_the_same_as_among_others(float64, make):
    model = make()
    learner, batch = make_learner(model), make_batch(model)
    together = learner.after_each_step(batch.support, batch.query.x).predictions
    alone = learner.after_each_step(
        Examples(batch.support.x[1:2], batch.support.y[1:2]), batch.query.x[1:2]
    ).predictions
    np.testing.assert_allclose(alone[:, 0], together[:, 1], rtol=1e-9, atol=1e-12)
    assert np.abs(together[-1] - together[0]).max() > 1e-4


@every_model
def test_graph_of_unknown_sizes(float64, make):
    model = make()
    learner, batch = make_learner(model), make_batch(model)
    specs = [
        tf.TensorSpec([None, None, *tensor.shape[2:]], tensor.dtype)
        for tensor in (batch.support.x, batch.support.y, batch.query.x)
    ]

    @tf.function(input_signature=specs)
    def predicted(x, y, query_x):
        return learner.after_each_step(Examples(x, y), query_x).predictions

    np.testing.assert_allclose(
        predicted(*batch.support, batch.query.x),
        learner.after_each_step(batch.support, batch.query.x).predictions,
        rtol=1e-9,
        atol=1e-12,
    )


def test_frozen_layers_do_not_adapt_and_get_no_meta_gradient(float64):
    model = engine_models.frozen()
    learner = make_learner(model)
    assert len(learner.network.prior()) == 2 and len(learner.trainable_variables) == 4


def test_own_keras_optimizer_trains_it_and_the_model_has_the_weights():
    model = engine_models.residual()
    learner = make_learner(model)
    learner.compile(optimizer=keras.optimizers.Adam(0.01), jit_compile=False)
    tasks = tf.data.Dataset.from_tensors(make_batch(model)).repeat()
    before = [v.numpy() for v in model.trainable_variables]
    history = learner.fit(tasks, epochs=4, steps_per_epoch=5, verbose=0, shuffle=False).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    for variable, value in zip(model.trainable_variables, before, strict=True):
        assert np.any(variable != value), variable.path
    x = make_batch(model).query.x
    np.testing.assert_allclose(learner.network(x)[0], model(x[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sites", [None, "named"])
def test_zero_film_is_maml(float64, sites):
    model, plain = engine_models.pooling(), engine_models.pooling()
    names = [layer.name for layer in model.layers if "pool" in layer.name] if sites else None
    film = FiLM()
    network = TaskNetwork(model, film, names)
    zeros = [tf.zeros([3, 2 * units], tf.float64) for units in network.site_units]
    make_learner(plain)
    model.set_weights(plain.get_weights())
    x = make_batch(model).query.x
    expected = TaskNetwork(plain)(x)
    np.testing.assert_allclose(network(x, zeros), expected, rtol=1e-12)
    for index, tau in enumerate(zeros):  # and every site has a say
        changed = [*zeros[:index], tau + 0.3, *zeros[index + 1 :]]
        assert np.abs(network(x, changed) - expected).max() > 1e-3


def test_modulated_residual_network_with_finite_differences(float64):
    model = engine_models.residual()
    learner = MuMoMAML(model, encoder=PairEncoder(4), inner_steps=2, inner_lr=0.1)
    batch = make_batch(model)
    variables = [v for group in learner.parameter_groups() for v in group]
    rng, step, slope = np.random.default_rng(0), 1e-6, []
    for variable in variables:  # no zero biases, at which a ReLU has its kink
        variable.assign_add(0.3 * rng.normal(size=variable.shape))
    _, _, groups = learner.meta_gradients(batch)
    directions = [rng.normal(size=v.shape) for v in variables]
    for sign in (1, -2):
        for variable, direction in zip(variables, directions, strict=True):
            variable.assign_add(sign * step * direction)
        slope.append(float(tf.reduce_mean(learner.meta_loss(batch)[0])))
    gradients = [g for group in groups for g in group]
    analytic = sum(float(np.sum(g * d)) for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(analytic, (slope[0] - slope[1]) / (2 * step), rtol=1e-7)


def test_sites_by_the_stated_rule():
    assert TaskNetwork(mlp(1, (5, 6), 2)).site_units == [5, 6]
    assert TaskNetwork(gaussian_policy(3, (5, 6), 2)).site_units == [5, 6]
    assert TaskNetwork(conv_net((8, 8, 1), 3, (5, 6))).site_units == [5, 6]
    assert TaskNetwork(engine_models.shared_layer()).site_units == [5, 5, 5]
    assert TaskNetwork(engine_models.nested()).site_units == [4, 4, 3]
    ends = keras.Sequential([keras.Input([3]), K.Dense(4, "relu"), K.Dense(2), K.Softmax()])
    assert TaskNetwork(ends).site_units == [4]


def test_modulation_comes_before_the_activation(float64):
    network = TaskNetwork(mlp(1, (3,), 1), FiLM())
    hidden, output = network.model.layers[-2:]
    x, tau = tf.ones([1, 2, 1], tf.float64), tf.constant([[0.5, 0, 0, 1, 2, -3.0]], tf.float64)
    gamma, beta = tau[0, :3], tau[0, 3:]
    h = tf.nn.relu((x[0] @ hidden.kernel + hidden.bias) * (1 + gamma) + beta)
    np.testing.assert_allclose(network(x, [tau])[0], h @ output.kernel + output.bias)


def test_gaussian_policy_is_an_mlp_with_a_log_sigma_that_adapts(float64):
    model = gaussian_policy(3, (4, 5), 2, activation="tanh")
    learner = MAML(model, inner_lr=0.5)
    model.get_layer("log_stddev").vector.assign([0.3, -0.2])
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 3)))
    outputs = learner.network(x)
    h = x
    for layer in model.layers[:-1]:
        h = layer.activation(h @ layer.kernel + layer.bias)
    np.testing.assert_allclose(outputs[..., :2], h, rtol=1e-12)
    np.testing.assert_allclose(outputs[..., 2:], np.broadcast_to([0.3, -0.2], (2, 6, 2)))
    y = tf.stack([outputs[0] + 1, outputs[1] - 1])
    loss = lambda z: mean_squared_error(y, z)  # noqa: E731
    fast, _ = learner.inner_loop.step(learner.network, learner.network.prior(), None, x, loss)
    (vector,) = fast[-1].parts
    # d/dv of the mean over 6 x 4 numbers of (v - target)^2, 6 of them each.
    np.testing.assert_allclose(vector, [[0.3 + 0.25, -0.2 + 0.25], [0.3 - 0.25, -0.2 - 0.25]])


def test_groups_are_clones_with_their_own_draws_and_serve_their_tasks(float64):
    network = TaskNetwork(engine_models.batch_norm(), num_groups=2)
    kernels = [variables[0].numpy().ravel() for variables in network.groups]
    assert abs(np.corrcoef(*kernels)[0, 1]) < 0.5
    x = tf.constant(np.random.default_rng(0).normal(size=(4, 3, 5, 5, 2)))
    single = [TaskNetwork(model) for model in network.models]
    outputs = network(x)
    for task in range(4):
        np.testing.assert_allclose(outputs[task], single[task // 2](x[task : task + 1])[0])
    fast = network.prior(tf.constant([1, 0, 1, 1]))
    picked = network.forward(x, fast)[0]
    for task, group in enumerate((1, 0, 1, 1)):
        np.testing.assert_allclose(picked[task], single[group](x[task : task + 1])[0])
