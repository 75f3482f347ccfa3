"""The inner loop: against a per-task reference, its two weight forms, and its identities."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.networks.models import mlp
from mmaml_tf.networks.task_network import TaskNetwork
from tests import reference
from tests.learners import CASES, make_batch, make_learner, meta_gradient

# Same mathematics in another order of operations: float64 agrees to about 1e-13 here.
SAME = dict(rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("first_order", [False, True], ids=["second", "first"])
@pytest.mark.parametrize("clip_norm", [None, 0.5], ids=["unclipped", "clipped"])
@pytest.mark.parametrize(("method", "modulation"), CASES)
def test_equals_the_per_task_reference(float64, method, modulation, clip_norm, first_order):
    learner = make_learner(
        method, modulation, inner_steps=3, inner_clip_norm=clip_norm, first_order=first_order
    )
    options = dict(clip_norm=clip_norm, first_order=first_order)
    batch = make_batch()
    with tf.GradientTape(persistent=True) as tape:
        ours = learner.meta_loss(batch)[0]
        expected = reference.query_losses(learner, batch, 3, 0.1, **options)
        ours_mean, expected_mean = tf.reduce_mean(ours), tf.reduce_mean(expected)
    np.testing.assert_allclose(ours, expected, **SAME)
    variables = learner.trainable_variables
    for variable, gradient, wanted in zip(
        variables,
        tape.gradient(ours_mean, variables),
        tape.gradient(expected_mean, variables),
        strict=True,
    ):
        np.testing.assert_allclose(gradient, wanted, err_msg=variable.path, **SAME)


@pytest.mark.parametrize(("method", "modulation"), CASES)
@pytest.mark.parametrize("clip_norm", [None, 0.5], ids=["unclipped", "clipped"])
def test_factored_equals_materialised(float64, method, modulation, clip_norm):
    batch = make_batch()
    results = []
    for factored in (True, False):
        learner = make_learner(method, modulation, factored, inner_clip_norm=clip_norm)
        loss, gradients = meta_gradient(learner, batch)
        results.append((loss, gradients, learner.after_each_step(batch.support, batch.query.x)))
    (loss, gradients, outcome), (other_loss, other_gradients, other_outcome) = results
    np.testing.assert_allclose(loss, other_loss, **SAME)
    np.testing.assert_allclose(outcome.predictions, other_outcome.predictions, **SAME)
    for gradient, other in zip(gradients, other_gradients, strict=True):
        np.testing.assert_allclose(gradient, other, **SAME)


def test_the_two_forms_are_really_used():
    forms = {
        factored: {
            type(weights).__name__
            for weights in make_learner(factored=factored).prior(make_batch().support, 5)
        }
        for factored in (True, False)
    }
    assert forms == {True: {"TaskWeights", "FactoredWeights"}, False: {"TaskWeights"}}


@pytest.mark.parametrize(("method", "modulation"), [("maml", None), ("mumomaml", "film")])
def test_eager_graph_and_xla_agree(method, modulation):
    learner = make_learner(method, modulation, inner_steps=2)
    batch = make_batch()
    eager = meta_gradient(learner, batch)
    for compiled in (tf.function, tf.function(jit_compile=True)):
        loss, gradients = compiled(lambda: meta_gradient(learner, batch))()
        np.testing.assert_allclose(loss, eager[0], rtol=1e-5)
        for gradient, wanted in zip(gradients, eager[1], strict=True):
            # float32, other fusions: relative to the variable's largest component.
            np.testing.assert_allclose(
                gradient, wanted, rtol=1e-4, atol=2e-5 * np.abs(wanted).max()
            )


def test_multi_maml_reads_the_modes_where_xla_leaves_assertions_out(float64):
    learner, batch = make_learner("multi_maml", inner_steps=1), make_batch()
    _, expected = meta_gradient(learner, batch)
    learner.compile(optimizer="adam", jit_compile=True)
    unsorted = tf.nest.map_structure(lambda part: tf.gather(part, [1, 3, 0, 2]), batch)
    *_, groups = tf.function(learner.meta_gradients, jit_compile=True)(unsorted)
    for gradient, wanted in zip(tf.nest.flatten(groups), expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, **SAME)


def test_theta_and_omega_are_clipped_apart(float64):
    value, limit = 0.02, 0.05
    learner = make_learner("mumomaml", "film", meta_clip_value=value, meta_clip_norm=limit)
    batch = make_batch()
    *_, gradients = learner.meta_gradients(batch)
    groups = learner.parameter_groups()
    before = [[variable.numpy() for variable in group] for group in groups]
    learner.compile(optimizer=keras.optimizers.SGD(1.0))
    learner.train_step(batch)
    for group, old, found in zip(groups, before, gradients, strict=True):
        clamped = [np.clip(gradient, -value, value) for gradient in found]
        norm = np.sqrt(sum(np.sum(part**2) for part in clamped))
        assert norm > limit and max(np.abs(gradient).max() for gradient in found) > value
        for variable, start, part in zip(group, old, clamped, strict=True):
            np.testing.assert_allclose(variable, start - limit / norm * part, **SAME)


def test_second_order_differs_from_first_order(float64):
    batch = make_batch()
    _, second = meta_gradient(make_learner(), batch)
    _, first = meta_gradient(make_learner(first_order=True), batch)
    difference = max(np.abs(a - b).max() for a, b in zip(first, second, strict=True))
    assert difference > 1e-2


def test_zero_steps_leave_theta(float64):
    learner = make_learner(inner_steps=0)
    batch = make_batch()
    predictions = learner.after_each_step(batch.support, batch.query.x).predictions
    assert predictions.shape[0] == 1
    np.testing.assert_array_equal(predictions[0], learner.network(batch.query.x))


def test_nothing_is_assigned():
    learner = make_learner("mumomaml", "film")
    before = [v.numpy() for v in learner.trainable_variables]
    learner.after_each_step(*(lambda b: (b.support, b.query.x))(make_batch()))
    for variable, value in zip(learner.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_adaptation_fits_the_support_set(float64):
    batch = make_batch()
    learner = make_learner(inner_steps=200, inner_lr=0.05, bias_transformation_size=0)
    predictions = learner.after_each_step(batch.support, batch.support.x).predictions
    losses = [learner.task_loss(batch.support.y, p).numpy() for p in tf.unstack(predictions)]
    assert np.all(losses[-1] < 0.1 * losses[0])


def test_tasks_do_not_touch_each_other(float64):
    batch = make_batch()
    learner = make_learner("mumomaml", "film")
    changed = tf.concat([batch.support.y[:-1], batch.support.y[-1:] + 1.0], 0)
    before = learner.after_each_step(batch.support, batch.query.x).predictions[-1]
    after = learner.after_each_step(batch.support._replace(y=changed), batch.query.x).predictions[
        -1
    ]
    np.testing.assert_allclose(before[:-1], after[:-1], rtol=1e-12)
    assert np.abs(before[-1] - after[-1]).max() > 1e-3


def test_zero_film_is_maml(float64):
    batch = make_batch()
    modulated = make_learner("mumomaml", "film")
    for head in modulated.modulator.heads:
        head.set_weights([np.zeros_like(value) for value in head.get_weights()])
    plain = make_learner(bias_transformation_size=0)
    plain.network.set_weights(modulated.network.get_weights())
    np.testing.assert_allclose(
        modulated.after_each_step(batch.support, batch.query.x).predictions,
        plain.after_each_step(batch.support, batch.query.x).predictions,
        rtol=1e-12,
    )


def test_elementwise_clipping(float64):
    batch = make_batch()
    limit = 0.01
    learner = make_learner(factored=False, inner_clip_value=limit, inner_steps=1)
    network = learner.network
    prior = network.prior()
    fast, _ = learner.inner_loop.step(
        network, prior, None, batch.support.x, lambda o: learner.task_loss(batch.support.y, o)
    )
    pairs = zip(fast[1:], prior[1:], strict=True)  # the first is the bias transformation
    largest = [np.abs(new.parts[0] - old.parts[0]).max() for new, old in pairs]
    np.testing.assert_allclose(largest, 0.1 * limit, rtol=1e-9)  # the limit is met and kept
    factored = network.prior(rows_seen=1)
    with pytest.raises(TypeError, match="outer product"):
        learner.inner_loop.step(
            network,
            factored,
            None,
            batch.support.x,
            lambda o: learner.task_loss(batch.support.y, o),
        )


def test_norm_clipping_bounds_the_step(float64):
    batch = make_batch()
    limit = 0.01
    learner = make_learner(factored=False, inner_clip_norm=limit, inner_steps=1)
    prior = learner.network.prior()
    fast, _ = learner.inner_loop.step(
        learner.network,
        prior,
        None,
        batch.support.x,
        lambda o: learner.task_loss(batch.support.y, o),
    )
    squared = sum(
        tf.reduce_sum((new - old) ** 2, list(range(1, new.shape.rank)))
        for layer, before in zip(fast, prior, strict=True)
        for new, old in zip(layer.parts, before.parts, strict=True)
    )
    np.testing.assert_allclose(np.sqrt(squared), 0.1 * limit, rtol=1e-9)


def test_norm_clipping_of_a_vanishing_gradient_is_finite():
    learner = make_learner(inner_clip_norm=1.0)
    batch = make_batch()
    perfect = learner.network(batch.support.x)
    with tf.GradientTape() as tape:
        support = batch.support._replace(y=perfect)
        loss = tf.reduce_sum(learner.meta_loss(batch._replace(support=support))[0])
    for gradient in tape.gradient(loss, learner.trainable_variables):
        assert np.all(np.isfinite(gradient))


def test_step_returns_the_loss_before_the_step(float64):
    learner = make_learner()
    batch = make_batch()
    _, losses = learner.inner_loop.step(
        learner.network,
        learner.network.prior(),
        None,
        batch.support.x,
        lambda outputs: learner.task_loss(batch.support.y, outputs),
    )
    expected = np.mean((batch.support.y - learner.network(batch.support.x)) ** 2, axis=(1, 2))
    np.testing.assert_allclose(losses, expected)


def test_learning_rate_override(float64):
    """RL evaluation halves alpha after the first step."""
    batch = make_batch()
    halved = make_learner(inner_lr=0.05)
    learner = make_learner(inner_lr=0.1)
    arguments = (batch.support.x, lambda o: learner.task_loss(batch.support.y, o))
    by_override, _ = learner.inner_loop.step(
        learner.network, learner.network.prior(), None, *arguments, learning_rate=0.05
    )
    by_setting, _ = halved.inner_loop.step(halved.network, halved.network.prior(), None, *arguments)
    x = batch.query.x
    np.testing.assert_allclose(
        learner.network.forward(x, by_override)[0], halved.network.forward(x, by_setting)[0]
    )


def test_layers_choose_the_cheaper_form():
    network = TaskNetwork(mlp(1, (100, 100, 100), 1))
    names = [type(weights).__name__ for weights in network.prior(rows_seen=25)]
    # 25 (1 + 100) > 100, 25 (100 + 100) < 100^2, and 25 (100 + 1) > 100.
    assert names == ["TaskWeights", *["FactoredWeights"] * 2, "TaskWeights"]
