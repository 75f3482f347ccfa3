"""MAML++'s measures: each one, and none of them."""

import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from mmaml_tf.networks.models import conv_net, mlp
from tests import omniglot_fixture
from tests.learners import make_batch

SAME = dict(rtol=1e-10, atol=1e-12)
OFF = dict(
    multi_step_iterations=0, first_order_iterations=0, rates_per_step=False, norm_per_step=False
)
STEPS = dict(inner_steps=3, inner_lr=0.1)
SIZE, WAYS = omniglot_fixture.SIZE, omniglot_fixture.WAYS


def images():
    return conv_net((SIZE, SIZE, 1), WAYS, (10, 4)), omniglot_fixture.make_batch()


def curves():
    return mlp(1, (7, 6), 1, kernel_initializer="he_normal"), make_batch()


def learner_of(model, iteration=0, **settings):
    loss = "mse" if model.name == "mlp" else "cross_entropy"
    learner = mm.MAMLPlusPlus(model, loss=loss, **STEPS, **settings)
    learner.compile()
    learner.optimizer.build(learner.trainable_variables)
    learner.optimizer.iterations.assign(iteration)
    return learner


def generic(learner, seed=0):
    rng = np.random.default_rng(seed)
    for variable in learner.trainable_variables:
        variable.assign_add(0.1 * rng.normal(size=variable.shape))
    return learner


@pytest.mark.parametrize("make", [curves, images])
@pytest.mark.parametrize("fast_weights", ["factored", "materialised"])
def test_without_its_measures_it_is_maml(float64, make, fast_weights):
    model, batch = make()
    learner = generic(learner_of(model, fast_weights=fast_weights, **OFF))
    maml = mm.MAML(model, loss=learner.task_loss, fast_weights=fast_weights, **STEPS)
    (losses, _, (gradients,)), (same, _, (others,)) = (
        each.meta_gradients(batch) for each in (learner, maml)
    )
    np.testing.assert_allclose(losses, same, **SAME)
    for gradient, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(gradient, other, **SAME)


@pytest.mark.parametrize("make", [curves, images])
@pytest.mark.parametrize("iteration", [0, 60, 200], ids=["early", "midway", "late"])
@pytest.mark.parametrize("batching", ["batched", "map"])
def test_meta_gradient_is_the_difference_quotient(float64, make, iteration, batching):
    model, batch = make()
    learner = generic(learner_of(model, iteration, multi_step_iterations=100))
    learner.map_tasks = batching == "map"
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
    assert len(group) == len(learner.trainable_variables)


def test_first_order_before_second(float64):
    model, batch = curves()
    early, late = (
        learner_of(model, iteration, **OFF | dict(first_order_iterations=10)).meta_gradients(batch)
        for iteration in (9, 10)
    )
    for found, first_order in ((early, True), (late, False)):
        expected = mm.MAML(model, first_order=first_order, **STEPS).meta_gradients(batch)
        np.testing.assert_allclose(found[0], expected[0], **SAME)
        for gradient, other in zip(found[2][0], expected[2][0], strict=True):
            np.testing.assert_allclose(gradient, other, **SAME)
    assert np.abs(early[2][0][0] - late[2][0][0]).max() > 1e-4


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [(0, [1 / 3, 1 / 3, 1 / 3]), (50, [1 / 6, 1 / 6, 2 / 3]), (100, [0, 0, 1]), (500, [0, 0, 1])],
)
def test_weights_of_the_steps(float64, iteration, expected):
    model, batch = curves()
    learner = learner_of(model, iteration, **OFF | dict(multi_step_iterations=100))
    np.testing.assert_allclose(learner.step_weights(), expected, **SAME)
    outcome = learner.after_each_step(batch.support, batch.query.x).predictions[1:]
    losses = [learner.task_loss(batch.query.y, predicted) for predicted in outcome]
    wanted = sum(w * loss for w, loss in zip(expected, losses, strict=True))
    np.testing.assert_allclose(learner.meta_loss(batch)[0], wanted, **SAME)


def test_every_step_has_its_own_rates(float64):
    model, batch = curves()
    learner = learner_of(model, **OFF | dict(rates_per_step=True))
    first, *_ = learner.step_rates
    for rate in learner.step_rates:
        rate.assign([0.0, 0.2, 0.0])
    zero, one, two, three, four = learner.after_each_step(
        batch.support, batch.query.x, 4
    ).predictions.numpy()
    np.testing.assert_array_equal(one, zero)
    assert np.abs(two - one).max() > 1e-3
    np.testing.assert_array_equal(three, two)
    np.testing.assert_array_equal(four, three)  # beyond the trained steps: the last one's
    plain = mm.MAML(model, inner_lr=0.2).after_each_step(batch.support, batch.query.x, 1)
    np.testing.assert_allclose(two, plain.predictions[-1], **SAME)
    assert first.shape == [3] and len(learner.step_rates) == 3


def test_every_step_has_norms_of_its_own(float64):
    model, batch = images()
    learner = learner_of(model, **OFF | dict(norm_per_step=True))
    before = learner.after_each_step(batch.support, batch.query.x, 4).predictions.numpy()
    assert len(learner.later_norms) == 2
    for sets in learner.later_norms.values():
        for variable in sets[1]:  # the third step's
            variable.assign_add(tf.ones_like(variable))
    after = learner.after_each_step(batch.support, batch.query.x, 4).predictions.numpy()
    np.testing.assert_array_equal(after[:3], before[:3])
    assert np.abs(after[3] - before[3]).max() > 1e-2 and np.abs(after[4] - before[4]).max() > 1e-2
    trajectory, _ = learner.trajectory(batch.support, None, 2)
    norm = trajectory[-1][1].parts
    assert norm[0].shape[0] == 1  # the inner loop leaves them alone
