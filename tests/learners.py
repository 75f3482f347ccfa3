"""Small learners and task batches that the tests share."""

import keras
import numpy as np
import tensorflow as tf

from mmaml_tf.encoders.lstm import BiLSTMEncoder
from mmaml_tf.learners.maml import MAML
from mmaml_tf.learners.multi_maml import MultiMAML
from mmaml_tf.learners.mumomaml import MuMoMAML
from mmaml_tf.networks.models import mlp
from mmaml_tf.tasks import Examples, TaskBatch

# (method, modulation): all that a supervised domain can be asked for.
CASES = [
    ("maml", None),
    ("multi_maml", None),
    ("mumomaml", "film"),
    ("mumomaml", "sigmoid"),
    ("mumomaml", "softmax"),
]
# Central differences with h = 1e-6 in float64 are good to about h^2 + 1e-16 / h, relative 1e-9;
# 1e-6 leaves room for cancellation in small components and catches any wrong term.
STEP, TOLERANCE = 1e-6, 1e-6
HIDDEN = (7, 6)
NUM_TASKS, NUM_SHOTS, NUM_QUERIES = 4, 3, 5


def make_batch(seed=0, num_tasks=NUM_TASKS, num_shots=NUM_SHOTS, num_queries=NUM_QUERIES):
    """Tasks with generic (non-zero, unequal) numbers, in Keras's current float type."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return tf.constant(rng.normal(size=shape), keras.config.floatx())

    return TaskBatch(
        Examples(draw(num_tasks, num_shots, 1), draw(num_tasks, num_shots, 1)),
        Examples(draw(num_tasks, num_queries, 1), draw(num_tasks, num_queries, 1)),
        tf.constant([0, 0, 1, 1][:num_tasks]),
    )


def make_learner(
    method="maml",
    modulation=None,
    factored=True,
    seed=3,
    bias_transformation_size=2,
    encoder=BiLSTMEncoder,
    **settings,
):
    """A learner with weights large enough that five steps change its predictions."""
    keras.utils.set_random_seed(seed)
    model = mlp(
        1,
        HIDDEN,
        1,
        kernel_initializer="he_normal",
        bias_transformation_size=bias_transformation_size if method != "mumomaml" else 0,
    )
    settings = {"inner_steps": 5, "inner_lr": 0.1, **settings}
    settings["fast_weights"] = "factored" if factored else "materialised"
    if method == "mumomaml":
        learner = MuMoMAML(model, modulation=modulation, encoder=encoder(4), **settings)
    elif method == "multi_maml":
        learner = MultiMAML(model, num_modes=2, **settings)
    else:
        learner = MAML(model, **settings)
    return generic(learner, seed=seed)


def generic(learner, size=0.1, seed=0):
    """No zero biases and no equal rates: they would hide mistakes."""
    rng = np.random.default_rng(seed)
    for variable in learner.trainable_variables:
        variable.assign_add(size * rng.normal(size=variable.shape))
    return learner


def meta_gradient(learner, batch):
    """The mean query loss and its gradient in every trainable variable."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(learner.meta_loss(batch)[0])
    return loss, tape.gradient(loss, learner.trainable_variables)


def check_along_a_direction(learner, batch):
    """A learner's only group of meta-gradients against the difference quotient of its loss."""
    _, _, (gradients,) = learner.meta_gradients(batch)
    (group,) = learner.parameter_groups()
    rng = np.random.default_rng(0)
    directions = [rng.normal(size=variable.shape) for variable in group]

    def loss(step):
        for variable, direction in zip(group, directions, strict=True):
            variable.assign_add(step * direction)
        value = float(tf.reduce_mean(learner.meta_loss(batch)[0]))
        for variable, direction in zip(group, directions, strict=True):
            variable.assign_sub(step * direction)
        return value

    slope = (loss(1e-6) - loss(-1e-6)) / 2e-6
    total = sum(float(np.sum(g * d)) for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(total, slope, rtol=1e-6, atol=1e-8)


def check_every_variable(learner):
    """Compares every variable's meta-gradient along a random direction."""
    batch = make_batch()
    loss_of = tf.function(lambda: tf.reduce_mean(learner.meta_loss(batch)[0]), autograph=False)
    _, gradients = tf.function(lambda: meta_gradient(learner, batch), autograph=False)()
    rng = np.random.default_rng(0)
    for variable, gradient in zip(learner.trainable_variables, gradients, strict=True):
        direction = rng.normal(size=variable.shape)
        variable.assign_add(STEP * direction)
        above = loss_of().numpy()
        variable.assign_sub(2 * STEP * direction)
        below = loss_of().numpy()
        variable.assign_add(STEP * direction)
        numeric = (above - below) / (2 * STEP)
        analytic = np.sum(gradient.numpy() * direction)
        assert numeric != 0, f"{variable.path} has no effect on the meta-loss"
        np.testing.assert_allclose(
            analytic, numeric, rtol=TOLERANCE, atol=TOLERANCE * 1e-2, err_msg=variable.path
        )


def dense(units=1):
    """A small model of one number."""
    return keras.Sequential(
        [keras.Input([1]), keras.layers.Dense(4, "relu"), keras.layers.Dense(units)]
    )
