"""Classifiers' meta-gradients: finite differences, a per-task loop, and map against batch."""

import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.encoders.images import ImageEncoder
from mmaml_tf.encoders.labelled_images import CODE, LabelledImageEncoder, label_code
from mmaml_tf.layers.modulation import MODULATIONS, FiLM, Modulation
from mmaml_tf.learners.losses import accuracy, cross_entropy
from mmaml_tf.networks.models import conv_net, pixel_mlp
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.reporting.evaluation import step_scores
from mmaml_tf.tasks import Examples
from tests.omniglot_fixture import (
    ENCODER_FILTERS,
    FILTERS,
    NUM_TASKS,
    SIZE,
    WAYS,
    make_batch,
    make_learner,
)

# The reference's settings, as a learner calls them.
NAMES = {"num_steps": "inner_steps", "clip_norm": "inner_clip_norm"}
EPSILON = 1e-3  # Keras's default


class Bend(Modulation):
    """Not affine, so that it can't go into the convolution before it."""

    def call(self, h, tau):
        return h + tau[:, None, None, None] * h**2


def meta_gradients(learner, batch):
    """Each task's query loss, and the gradients in the order of `trainable_variables`."""
    losses, _, groups = learner.meta_gradients(batch)
    variables = [v for group in learner.parameter_groups() for v in group]
    gradients = {
        v.path: g for v, g in zip(variables, [g for gs in groups for g in gs], strict=True)
    }
    return losses, [gradients[v.path] for v in learner.trainable_variables]


# The slow and obvious way: plain weight lists, the tape on the weights, one task at a time.


def reference_logits(network, weights, tau, x):
    weights = list(weights)
    has_convolutions = weights[0].shape.rank == 4
    h = x if has_convolutions else tf.reshape(x, [len(x), -1])
    for block in range(len(FILTERS)):
        kernel = weights.pop(0)
        h = tf.nn.conv2d(h, kernel, 2, "SAME") if has_convolutions else h @ kernel
        axes = list(range(h.shape.rank - 1))
        h -= tf.reduce_mean(h, axes)
        h /= tf.sqrt(tf.reduce_mean(h**2, axes) + EPSILON)
        if not isinstance(network.modulation, FiLM):
            h = h * weights.pop(0) + weights.pop(0)
        if tau is not None:
            h = network.modulation(h[None], tau[block])[0]
        h = tf.nn.relu(h)
    kernel, bias = weights
    return (tf.reduce_mean(h, [1, 2]) if has_convolutions else h) @ kernel + bias


def reference_losses(learner, batch, num_steps, learning_rate, first_order=False, clip_norm=None):
    network, losses = learner.network, []
    for task in range(len(batch.mode)):
        x, y = batch.support.x[task], batch.support.y[task]
        tau, _ = learner.modulate(Examples(x[None], y[None]))
        weights = [v.value for v in network.trainable_variables]
        for _ in range(num_steps):
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits = reference_logits(network, weights, tau, x)
                loss = tf.reduce_mean(
                    tf.keras.losses.sparse_categorical_crossentropy(y, logits, True)
                )
            gradients = tape.gradient(loss, weights)
            if first_order:
                gradients = [tf.stop_gradient(gradient) for gradient in gradients]
            if clip_norm is not None:
                norm = tf.linalg.global_norm(gradients)
                factor = tf.minimum(tf.constant(1.0, norm.dtype), clip_norm / norm)
                gradients = [factor * gradient for gradient in gradients]
            weights = [w - learning_rate * g for w, g in zip(weights, gradients, strict=True)]
        logits = reference_logits(network, weights, tau, batch.query.x[task])
        y = batch.query.y[task]
        losses.append(
            tf.reduce_mean(tf.keras.losses.sparse_categorical_crossentropy(y, logits, True))
        )
    return tf.stack(losses)


@pytest.mark.parametrize(
    "modulation, model, loop, batching",
    [
        (None, conv_net, {}, "map"),
        (None, conv_net, {}, "batched"),
        ("film", conv_net, {}, "map"),
        ("sigmoid", conv_net, {}, "map"),
        ("softmax", conv_net, {}, "batched"),
        ("bend", conv_net, {}, "map"),
        (None, pixel_mlp, {}, "batched"),
        ("film", pixel_mlp, {}, "map"),
        (None, conv_net, dict(first_order=True), "map"),
        ("film", conv_net, dict(first_order=True), "batched"),
        (None, conv_net, dict(clip_norm=0.3), "map"),
        (None, conv_net, dict(clip_norm=0.3), "batched"),
        ("film", conv_net, dict(num_steps=0), "map"),
    ],
)
def test_same_as_a_loop_over_tasks(float64, monkeypatch, modulation, model, loop, batching):
    monkeypatch.setitem(MODULATIONS, "bend", Bend)
    learner = make_learner(
        modulation, batching, model, **{NAMES.get(name, name): loop[name] for name in loop}
    )
    batch = make_batch()
    settings = {"num_steps": 2, "learning_rate": 0.2, **loop}
    with tf.GradientTape() as tape:
        expected_losses = reference_losses(learner, batch, **settings)
        expected = tape.gradient(tf.reduce_mean(expected_losses), learner.trainable_variables)
    losses, gradients = meta_gradients(learner, batch)
    # Float64 rounding over two steps and their second derivatives.
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-10)
    for variable, mine, theirs in zip(
        learner.trainable_variables, gradients, expected, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-11, err_msg=variable.path)


@pytest.mark.parametrize("modulation", [None, "film"])
def test_meta_gradient_against_finite_differences(float64, modulation):
    learner = make_learner(modulation)
    batch = make_batch()
    _, gradients = meta_gradients(learner, batch)

    @tf.function(autograph=False)
    def loss():
        return tf.reduce_mean(learner.meta_loss(batch)[0])

    rng = np.random.default_rng(1)
    step = 1e-6
    for variable, gradient in zip(learner.trainable_variables, gradients, strict=True):
        direction = rng.normal(size=variable.shape)
        direction /= np.linalg.norm(direction)
        start = variable.numpy()
        variable.assign(start + step * direction)
        above = loss()
        variable.assign(start - step * direction)
        below = loss()
        variable.assign(start)
        slope = float(above - below) / (2 * step)
        # Central differences: rounding 1e-16 / 1e-6, and no ReLU within the step of its kink.
        np.testing.assert_allclose(
            np.sum(gradient * direction), slope, rtol=1e-5, atol=1e-8, err_msg=variable.path
        )


def test_first_order_is_not_second_order(float64):
    batch = make_batch()
    _, second = meta_gradients(make_learner(), batch)
    _, first = meta_gradients(make_learner(first_order=True), batch)
    assert not np.allclose(second[0], first[0], rtol=1e-3)


@pytest.mark.parametrize("modulation", [None, "film"])
def test_one_task_at_a_time_is_the_same_as_all_at_once(float64, modulation):
    batch = make_batch(num_shots=2, num_queries=3)
    mapped, batched = make_learner(modulation), make_learner(modulation, "batched")
    for mine, theirs in zip(
        meta_gradients(mapped, batch)[1], meta_gradients(batched, batch)[1], strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-11)
    mine = mapped.after_each_step(batch.support, batch.query.x, num_steps=4)
    theirs = batched.after_each_step(batch.support, batch.query.x, num_steps=4)
    assert mine.predictions.shape == (5, NUM_TASKS, 3 * WAYS, WAYS)
    np.testing.assert_allclose(mine.predictions, theirs.predictions, rtol=1e-8)
    if modulation:
        np.testing.assert_allclose(mine.embedding, theirs.embedding)


@pytest.mark.parametrize("batching", ["map", "batched"])
def test_tasks_do_not_touch_each_other(float64, batching):
    learner = make_learner("film", batching)
    batch = make_batch()
    alone = learner.after_each_step(
        Examples(batch.support.x[1:2], batch.support.y[1:2]), batch.query.x[1:2]
    ).predictions
    together = learner.after_each_step(batch.support, batch.query.x).predictions
    np.testing.assert_allclose(alone[:, 0], together[:, 1], rtol=1e-8)


@pytest.mark.parametrize("batching", ["map", "batched"])
def test_support_statistics_make_predictions_independent_of_the_other_queries(float64, batching):
    batch = make_batch()
    for statistics in ("support", "transductive"):
        learner = make_learner("film", batching, bn_statistics=statistics, inner_lr=0.4)
        one = learner.after_each_step(batch.support, batch.query.x[:, :1]).predictions
        all_ = learner.after_each_step(batch.support, batch.query.x).predictions
        assert np.allclose(one[:, :, 0], all_[:, :, 0], rtol=1e-8) == (statistics == "support")


def test_modulation_changes_the_predictions_and_film_zero_does_not(float64):
    learner = make_learner("film")
    x = make_batch().query.x
    network = learner.network
    zeros = [tf.zeros([NUM_TASKS, 2 * filters], tf.float64) for filters in FILTERS]
    unmodulated = network(x, zeros)
    plain = TaskNetwork(conv_net((SIZE, SIZE, 1), WAYS, FILTERS))
    for theirs in network.model.layers:
        if not theirs.name.startswith("norm"):  # these stay at a scale of 1 and a shift of 0
            plain.model.get_layer(theirs.name).set_weights(theirs.get_weights())
    np.testing.assert_allclose(plain(x), unmodulated, rtol=1e-10)
    for block in range(len(FILTERS)):  # every block is modulated, none is normalised away
        for part in (slice(0, FILTERS[block]), slice(FILTERS[block], None)):
            tau = [np.zeros([NUM_TASKS, 2 * filters]) for filters in FILTERS]
            tau[block][:, part] = np.linspace(-0.5, 0.5, FILTERS[block])
            changed = network(x, [tf.constant(t) for t in tau])
            assert not np.allclose(changed, unmodulated, rtol=1e-3)


def test_an_encoder_averages_the_images(float64):
    x = make_batch(num_shots=2).support.x
    encoder = ImageEncoder(ENCODER_FILTERS, 4)
    encoder.build(x.shape)
    of_images = encoder.of_image(x).numpy()
    assert np.ptp(of_images, axis=1).max() > 1e-3
    np.testing.assert_allclose(encoder(x), of_images.mean(1), rtol=1e-12)


def test_an_encoder_that_sees_labels(float64):
    """It holds the mean image of every class, whatever the order of the examples."""
    support = make_batch(num_shots=2).support
    encoder = LabelledImageEncoder(ENCODER_FILTERS, 4)
    encoder.build(support.x.shape, support.y.shape)
    encoder.of_classes.kernel.assign(np.random.default_rng(0).normal(size=(4 * CODE, 4)))
    v = encoder(*support)
    order = np.random.default_rng(0).permutation(support.x.shape[1])
    turned = Examples(*(tf.gather(part, order, axis=1) for part in support))
    np.testing.assert_allclose(encoder(*turned), v, rtol=1e-9)
    swapped = encoder(support.x, (support.y + 1) % WAYS)
    assert np.abs(swapped - v).min() > 1e-4
    np.testing.assert_allclose(swapped, encoder(tf.roll(support.x, 2, 1), support.y), rtol=1e-9)
    code = label_code(tf.range(CODE), v.dtype)
    np.testing.assert_allclose(code @ tf.transpose(code), CODE / 2 * np.eye(CODE), atol=1e-9)
    read_class_1 = np.einsum("fu,c->fcu", np.eye(4), code[1] / (CODE / 2))
    encoder.of_classes.kernel.assign(read_class_1.reshape(4 * CODE, 4))
    of_class_1 = tf.reduce_mean(encoder.of_images.of_image(support.x)[:, 2:4], 1)
    np.testing.assert_allclose(WAYS * encoder(*support), of_class_1, rtol=1e-9, atol=1e-12)


def test_training_learns_and_never_keeps_statistics():
    learner = make_learner("film")
    learner.compile(optimizer="adam")
    state = {v.path: v.numpy() for v in learner.non_trainable_variables if "norm" in v.path}
    step = tf.function(learner.train_step, autograph=False)
    batch = make_batch()
    first = tf.reduce_mean(learner.meta_loss(batch)[0])
    for _ in range(60):
        step(batch)
    assert tf.reduce_mean(learner.meta_loss(batch)[0]) < 0.8 * first
    after = {v.path: v.numpy() for v in learner.non_trainable_variables}
    assert state and all(np.array_equal(after[path], value) for path, value in state.items())


def test_loss_and_accuracy_by_hand():
    labels = tf.constant([[0, 1]])
    logits = tf.math.log(tf.constant([[[0.5, 0.25, 0.25], [0.7, 0.2, 0.1]]]))
    np.testing.assert_allclose(
        cross_entropy(labels, logits), [-(np.log(0.5) + np.log(0.2)) / 2], rtol=1e-6
    )
    np.testing.assert_allclose(accuracy(labels, logits), [0.5])


def test_accuracy_per_step():
    learner = make_learner("film", inner_lr=0.5)
    batch = make_batch(num_tasks=2)
    batch = batch._replace(query=batch.support)  # adapted to, so accuracy must rise
    scores, embedding = step_scores(learner, accuracy, batch, 10)
    assert scores.shape == (2, 11) and embedding.shape == (2, 4)
    assert np.mean(scores[:, -1]) > np.mean(scores[:, 0])
    assert np.mean(scores[:, -1]) > 0.9
