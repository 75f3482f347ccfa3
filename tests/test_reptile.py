"""Reptile: towards where steps of ordinary training lead."""

import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from data.regression import MIXTURES
from flags import image_sets_config, omniglot_config
from mmaml_tf.learners.mini_batches import mini_batches
from mmaml_tf.networks.models import mlp
from mmaml_tf.regression.config import paper_settings
from tests import omniglot_fixture
from tests.learners import make_batch

SAME = dict(rtol=1e-10, atol=1e-12)


def reptile(**settings):
    model = mlp(1, (7, 6), 1, kernel_initializer="he_normal")
    return mm.Reptile(model, **{"inner_lr": 0.01, "inner_steps": 3, **settings})


def all_points(batch):
    return [tf.concat(parts, 1) for parts in zip(batch.support, batch.query, strict=True)]


def test_one_step_on_all_points_is_joint_training(float64):
    learner = reptile(inner_steps=1, inner_optimizer="sgd", inner_batch_size=100)
    batch = make_batch()
    x, y = all_points(batch)
    model = learner.network.model
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(tf.reshape(x, [-1, 1])) - tf.reshape(y, [-1, 1])) ** 2)
    _, before, (moves,) = learner.meta_gradients(batch)
    np.testing.assert_allclose(tf.reduce_mean(before), loss, **SAME)
    for move, gradient in zip(moves, tape.gradient(loss, model.trainable_variables), strict=True):
        np.testing.assert_allclose(move, 0.01 * gradient, **SAME)


def test_steps_of_adam_on_mini_batches_in_numpy(float64):
    """By hand, on a line w x + b: a pass over the shuffled points, then the next."""
    model = mlp(1, (), 1, kernel_initializer="ones")
    learner = mm.Reptile(model, inner_lr=0.1, inner_steps=4, inner_batch_size=2)
    batch = make_batch(num_tasks=1)
    x, y = (part.numpy()[0, :, 0] for part in batch.support)  # three points
    order = mini_batches(3, 4, 2, 5).numpy()
    assert sorted(np.ravel(order)[:3]) == sorted(np.ravel(order)[3:6]) == [0, 1, 2]
    theta, v = np.array([1.0, 0.0]), np.zeros(2)
    for step, chosen in enumerate(order, 1):
        error = theta[0] * x[chosen] + theta[1] - y[chosen]
        gradient = np.array([np.mean(2 * error * x[chosen]), np.mean(2 * error)])
        v = 0.999 * v + 0.001 * gradient**2
        theta -= 0.1 * gradient / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    trajectory, _ = learner.trajectory(batch.support, None, 4, seed=5)
    kernel, bias = trajectory[-1][0].parts
    np.testing.assert_allclose([kernel[0, 0, 0], bias[0, 0]], theta, rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_one_task_at_a_time_is_all_at_once(float64, optimizer):
    learner, batch = reptile(inner_optimizer=optimizer, inner_batch_size=2), make_batch()
    after, before, (moves,) = learner.meta_gradients(batch)
    learner.map_tasks = True
    same_after, same_before, (same,) = learner.meta_gradients(batch)
    np.testing.assert_allclose(same_after, after, **SAME)
    np.testing.assert_allclose(same_before, before, **SAME)
    for move, other in zip(same, moves, strict=True):
        np.testing.assert_allclose(move, other, **SAME)
    ends = []
    for learner.map_predictions in (False, True):
        ends.append(learner.after_each_step(batch.support, batch.query.x, 7).predictions)
    np.testing.assert_allclose(*ends, **SAME)


def test_a_meta_step_of_one_ends_at_the_mean():
    learner, batch = reptile(inner_batch_size=4), make_batch()
    learner.compile(optimizer=learner.optimizer_class(1.0))
    learner.optimizer.iterations.assign(7)  # which says the points' order
    points = mm.Examples(*all_points(batch))
    trajectory, _ = learner.trajectory(points, None, 3, seed=7)
    ends = [tf.reduce_mean(part, 0) for weights in trajectory[-1] for part in weights.parts]
    learner.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    for variable, end in zip(learner.network.model.trainable_variables, ends, strict=True):
        np.testing.assert_allclose(variable, end, rtol=1e-4, atol=1e-6)


def test_the_order_depends_on_the_iteration():
    first, again, other = (mini_batches(20, 3, 10, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first.numpy() != other.numpy()).any()
    unknown = tf.function(lambda number: mini_batches(number, 3, 10, 1))(tf.constant(20))
    np.testing.assert_array_equal(first, unknown)  # in an export, where K is open


def test_support_sets_have_a_batch_size_of_their_own(float64):
    batch = make_batch(num_shots=6)
    few, many = reptile(eval_batch_size=2, inner_batch_size=4), reptile(inner_batch_size=2)
    many.set_weights(few.get_weights())
    ends = [each.after_each_step(batch.support, batch.query.x).predictions for each in (few, many)]
    np.testing.assert_allclose(*ends, **SAME)
    moves = [each.meta_gradients(batch)[2][0][0] for each in (few, many)]
    assert np.abs(moves[0] - moves[1]).max() > 1e-3


def test_the_norm_of_a_step_is_limited(float64):
    batch, limit = make_batch(), 0.01
    learner = reptile(inner_optimizer="sgd", inner_clip_norm=limit, inner_batch_size=100)
    trajectory, _ = learner.trajectory(batch.support, None, 1)
    squared = sum(
        np.sum((new - old) ** 2, tuple(range(1, new.shape.rank)))
        for after, before in zip(trajectory[1], trajectory[0], strict=True)
        for new, old in zip(after.parts, before.parts, strict=True)
    )
    np.testing.assert_allclose(np.sqrt(squared), 0.01 * limit, rtol=1e-9)


def test_tasks_that_do_not_fit_are_named():
    batch = make_batch()
    wide = mm.Examples(tf.zeros([4, 3, 2]), batch.support.y)
    with pytest.raises(ValueError, match=r"support.x must be \[tasks, examples, 1\] for mlp"):
        reptile().meta_gradients(batch._replace(support=wide))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_xla_agrees(optimizer):
    learner, batch = reptile(inner_optimizer=optimizer, inner_batch_size=2), make_batch()
    _, _, (moves,) = learner.meta_gradients(batch)
    compiled = tf.function(lambda: learner.meta_gradients(batch), autograph=False, jit_compile=True)
    for move, other in zip(moves, compiled()[2][0], strict=True):
        np.testing.assert_allclose(move, other, rtol=1e-4, atol=2e-5 * np.abs(move).max())


def test_published_settings():
    """Reptile's Table 4: ten images a class to train on, 15 of Mini-ImageNet."""
    wanted = {(5, 1): (5, 10, 5, 1e-3), (20, 1): (10, 20, 10, 5e-4), (20, 5): (10, 20, 10, 5e-4)}
    for (ways, shots), (steps, size, at_evaluation, rate) in wanted.items():
        chosen = omniglot_config.paper_settings("reptile", ways, shots)
        assert chosen["num_shots"] + chosen["num_queries"] == 10
        assert (chosen["inner_steps"], chosen["inner_lr"]) == (steps, rate)
        assert (chosen["inner_batch_size"], chosen["eval_batch_size"]) == (size, at_evaluation)
        assert (chosen["meta_lr"], chosen["lr_schedule"], chosen["eval_steps"]) == (1, "linear", 50)
    mini = image_sets_config.paper_settings("reptile", ("miniimagenet",), 5, 5)
    assert (mini["inner_steps"], mini["eval_batch_size"], mini["meta_lr"]) == (8, 15, 1)
    assert (mini["num_shots"] + mini["num_queries"], mini["meta_clip_value"]) == (15, None)
    waves = MIXTURES["sinusoid"].defaults  # one step for others
    assert paper_settings("sinusoid", "reptile", ("sinusoid",), waves)["inner_steps"] == 5


def test_learns_images(float64):
    model = mm.models.conv_net((6, 6, 1), 3, (10, 4))
    learner = mm.Reptile(model, loss="cross_entropy", inner_lr=0.02, inner_steps=20)
    batch = omniglot_fixture.make_batch(num_tasks=1)
    fitted = learner.after_each_step(batch.support, batch.support.x).predictions
    losses = [float(tf.reduce_mean(learner.task_loss(batch.support.y, p))) for p in fitted]
    assert losses[-1] < 0.5 * losses[0]
