"""What defines each gradient-based method, and their meta-gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from mmaml_tf.networks.models import conv_net, mlp
from tests.learners import check_every_variable, generic, make_batch, meta_gradient

SAME = dict(rtol=1e-10, atol=1e-12)
METHODS = {
    "meta_sgd": mm.MetaSGD,
    "anil": mm.ANIL,
    "context": mm.Context,
    "modulation": mm.ModulationOnly,
    "mumomaml-rates": lambda model, **settings: mm.MuMoMAML(model, learned_rates=True, **settings),
}


def network():
    return mlp(1, (7, 6), 1, kernel_initializer="he_normal")


@pytest.mark.parametrize("name", METHODS)
def test_meta_gradient_is_the_difference_quotient(float64, name):
    steps = {} if name == "modulation" else dict(inner_steps=3, inner_lr=0.1)
    check_every_variable(generic(METHODS[name](network(), **steps)))


@pytest.mark.parametrize("name", METHODS)
def test_a_task_alone_is_the_same_as_among_others(float64, name):
    learner, batch = generic(METHODS[name](network())), make_batch()
    together = learner.after_each_step(batch.support, batch.query.x).predictions
    one = tf.nest.map_structure(lambda part: part[1:2], batch)
    alone = learner.after_each_step(one.support, one.query.x).predictions
    np.testing.assert_allclose(alone[:, 0], together[:, 1], rtol=1e-9, atol=1e-12)


def test_meta_sgd_with_equal_rates_is_maml(float64):
    model, batch = network(), make_batch()
    settings = dict(inner_steps=3, inner_lr=0.1, inner_clip_norm=0.5)
    loss, gradients = meta_gradient(mm.MAML(model, **settings), batch)
    learner = mm.MetaSGD(model, **settings)
    same_loss, found = meta_gradient(learner, batch)
    np.testing.assert_allclose(same_loss, loss, **SAME)
    by_variable = dict(zip(map(id, learner.trainable_variables), found, strict=True))
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        np.testing.assert_allclose(by_variable[id(variable)], gradient, **SAME)
    assert len(learner.rates) == len(model.trainable_variables)


def test_a_negative_rate_ascends(float64):
    learner, batch = mm.MetaSGD(network(), inner_lr=0.005), make_batch()
    down, up = [], []
    for losses, sign in ((down, 1), (up, -2)):
        for rate in learner.rates:
            rate.assign(sign * rate)
        fitted = learner.after_each_step(batch.support, batch.support.x).predictions
        losses += [learner.task_loss(batch.support.y, predicted) for predicted in fitted]
    assert (down[1] < down[0]).numpy().all() and (up[1] > up[0]).numpy().all()


def test_anil_moves_the_head_alone(float64):
    learner, batch = mm.ANIL(network(), inner_lr=0.1), make_batch()
    (*before, head), (*after, adapted) = learner.trajectory(batch.support, None, 1)[0]
    assert all(own is other for own, other in zip(before, after, strict=True))
    assert adapted is not head


@pytest.mark.parametrize("make", [network, lambda: conv_net((6, 6, 1), 3, (4, 4))])
def test_context_moves_z_alone(float64, make):
    model = make()
    learner = mm.Context(model, context_size=2, inner_lr=0.1)
    shape = learner.network.model.input_shape[1:]
    support = mm.Examples(
        tf.random.normal([3, 4, *shape], dtype="float64"),
        tf.random.normal([3, 4, model.output_shape[-1]], dtype="float64"),
    )
    (z, *before), (moved, *after) = learner.trajectory(support, None, 1)[0]
    assert all(own is other for own, other in zip(before, after, strict=True))
    assert moved.parts[0].shape == [3, *shape[:-1], 2]
    assert np.all(z.parts[0] != 0)  # it starts as a kernel would
    assert (np.abs(moved.parts[0] - z.parts[0]).max((*range(1, len(shape) + 1),)) > 0).all()


def test_modulation_only_is_mumomaml_without_steps(float64):
    model, batch = network(), make_batch()
    learner = generic(mm.ModulationOnly(model))
    steps = mm.MuMoMAML(model, encoder=learner.modulator.encoder)
    for own, other in zip(steps.modulator.heads, learner.modulator.heads, strict=True):
        for variable, value in zip(own.variables, other.variables, strict=True):
            variable.assign(value)
    full = steps.after_each_step(batch.support, batch.query.x)
    half = learner.after_each_step(batch.support, batch.query.x)
    assert half.predictions.shape[0] == 1
    np.testing.assert_allclose(half.predictions[0], full.predictions[0], **SAME)
    np.testing.assert_allclose(half.embedding, full.embedding, **SAME)


def test_a_layer_that_is_not_there_does_not_adapt():
    with pytest.raises(ValueError, match="no layer head with weights to adapt; choose from hidden"):
        mm.MAML(network(), adapts=["head"])


def test_what_does_not_adapt_is_one_ordinary_convolution():
    """Per-task copies of it would cost more than the head that adapts."""
    learner = mm.ANIL(conv_net((6, 6, 1), 3, (4, 4)), loss="cross_entropy", inner_steps=2)
    x, y = tf.zeros([5, 3, 6, 6, 1]), tf.zeros([5, 3], tf.int32)
    trajectory, _ = learner.trajectory(mm.Examples(x, y), None, 2)
    assert [weights.parts[0].shape[0] for weights in trajectory[-1]] == [1, 1, 1, 1, 5]
    assert keras.tree.flatten(learner.rates) == []


def test_multi_maml_asks_for_the_modes():
    learner, batch = mm.MultiMAML(network(), num_modes=2), make_batch()
    learner.compile(optimizer="adam")
    x, y = (part.numpy() for part in batch.support)
    for arguments, words in (
        ((x, y), "mode=None: MultiMAML needs the true mode"),
        ((x[0], y[0], None, [0, 1]), "must be one whole number for each of the 1 tasks"),
        ((x, y, None, [0, 0, 1]), "must be one whole number for each of the 4 tasks"),
        ((x, y, None, [0, 0, 1, 2]), "must be 0 to 1"),
    ):
        with pytest.raises(ValueError, match=words):
            learner.adapt(*arguments)
    with pytest.raises(ValueError, match=r"mode=\[0, 0, 1, 1\]: MAML takes none"):
        mm.MAML(network()).adapt(x, y, mode=[0, 0, 1, 1])
    many = learner.adapt(x, y, mode=[1, 0, 1, 0]).predict(x)
    np.testing.assert_allclose(learner.adapt(x[2], y[2], mode=1).predict(x[2]), many[2], rtol=1e-5)
    unsorted = batch._replace(mode=tf.zeros_like(batch.mode))
    for work in (learner.fit, learner.evaluate):
        with pytest.raises(tf.errors.InvalidArgumentError, match="tasks must be sorted by mode"):
            work(tf.data.Dataset.from_tensors(unsorted), verbose=0)


@pytest.mark.parametrize("given", [False, True], ids=["sorted", "told"])
def test_multi_maml_one_task_at_a_time(float64, given):
    model, batch = network(), make_batch()
    learners = [
        generic(mm.MultiMAML(model, num_modes=2, inner_lr=0.1, task_batching=batching))
        for batching in ("batched", "map")
    ]
    for own, other in zip(*(learner.network.groups for learner in learners), strict=True):
        for variable, value in zip(other, own, strict=True):
            variable.assign(value)
    (losses, _, gradients), (same, _, found) = (each.meta_gradients(batch) for each in learners)
    np.testing.assert_allclose(same, losses, **SAME)
    for group, wanted in zip(found, gradients, strict=True):
        for gradient, other in zip(group, wanted, strict=True):
            np.testing.assert_allclose(gradient, other, **SAME)
    mode = batch.mode if given else None
    batched, mapped = (
        each.after_each_step(batch.support, batch.query.x, mode=mode).predictions
        for each in learners
    )
    np.testing.assert_allclose(mapped, batched, **SAME)
