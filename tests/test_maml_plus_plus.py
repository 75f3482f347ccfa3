"""MAML++'s measures: each one, and none of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from flags import omniglot_config
from mmaml_tf.networks.models import conv_net, mlp
from tests import omniglot_fixture
from tests.learners import check_along_a_direction, generic, make_batch

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


def in_graph(learner, batch):
    return tf.function(learner.meta_gradients, autograph=False)(batch)


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
    check_along_a_direction(learner, batch)
    (group,) = learner.parameter_groups()
    assert len(group) == len(learner.trainable_variables)


@pytest.mark.parametrize(
    "run",
    [lambda learner, batch: learner.meta_gradients(batch), in_graph],
    ids=["eager", "graph"],
)
@pytest.mark.parametrize("batching", ["batched", "map"])
@pytest.mark.parametrize("limit", [None, 0.5], ids=["unclipped", "clipped"])
def test_first_order_before_second(float64, limit, batching, run):
    """The limit, too: it is a function of the gradients."""
    model, batch = curves()
    settings = OFF | dict(first_order_iterations=10, inner_clip_norm=limit, task_batching=batching)
    early, late = (run(learner_of(model, iteration, **settings), batch) for iteration in (9, 10))
    for found, first_order in ((early, True), (late, False)):
        maml = mm.MAML(model, first_order=first_order, inner_clip_norm=limit, **STEPS)
        expected = maml.meta_gradients(batch)
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


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("make", [curves, images])
def test_few_steps_and_more_at_evaluation(float64, make, steps):
    """One step has no norms after its own, none has no rates either: as MAML trains."""
    model, batch = make()
    loss = "mse" if model.name == "mlp" else "cross_entropy"
    learner = mm.MAMLPlusPlus(model, loss=loss, inner_steps=steps, inner_lr=0.1)
    _, _, (gradients,) = learner.meta_gradients(batch)
    assert all(gradient is not None for gradient in gradients)
    assert len(gradients) == len(learner.trainable_variables)
    predicted = learner.after_each_step(batch.support, batch.query.x, steps + 2).predictions
    assert predicted.shape[0] == steps + 3
    assert np.abs(predicted[-1] - predicted[0]).max() > 1e-3


def test_norms_of_a_nested_model_and_layers_that_do_not_adapt():
    body = conv_net((SIZE, SIZE, 1), None, (4,))
    model = keras.Sequential(
        [keras.Input((SIZE, SIZE, 1)), body, keras.layers.Dense(WAYS, name="head")]
    )
    learner = mm.MAMLPlusPlus(model, loss="cross_entropy", inner_steps=2)
    assert [*learner.later_norms] == ["norm_0"]
    assert [layer.name for layer in learner.network.plan.adapting] == ["conv_0", "head"]
    head = mm.MAMLPlusPlus(model, loss="cross_entropy", adapts=["head", "norm_0"])
    assert [layer.name for layer in head.network.plan.adapting] == ["head"]


@pytest.mark.parametrize("batching", ["batched", "map"])
def test_norms_that_a_first_order_loss_does_not_see_stay(float64, batching):
    model, batch = images()
    settings = dict(multi_step_iterations=0, first_order=True, task_batching=batching)
    learner = learner_of(model, **settings)
    *_, (gradients,) = learner.meta_gradients(batch)
    unseen, seen = (learner.later_norms["norm_0"][step] for step in (0, 1))
    by_variable = dict(zip(map(id, learner.parameter_groups()[0]), gradients, strict=True))
    assert not np.any(by_variable[id(unseen[0])]) and np.any(by_variable[id(seen[0])])


def test_layers_of_one_name_are_refused():
    def block(name):
        layers = [
            keras.layers.Conv2D(2, 3, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
        ]
        return keras.Sequential([keras.Input((SIZE, SIZE, 1)), *layers], name=name)

    image = keras.Input((SIZE, SIZE, 1))
    both = keras.layers.Add()([block("left")(image), block("right")(image)])
    model = keras.Model(image, keras.layers.Dense(WAYS)(keras.layers.Flatten()(both)))
    with pytest.raises(ValueError, match="two layers are called norm: give them names"):
        mm.MAMLPlusPlus(model, loss="cross_entropy")
    with pytest.raises(ValueError, match="two layers are called conv"):
        mm.MAML(model, loss="cross_entropy", adapts=["conv"])


def test_published_settings():
    """Its code's configurations of Omniglot are the same for 5 and 20 ways, 1 and 5 shots."""
    for ways, shots in ((5, 1), (5, 5), (20, 1), (20, 5)):
        chosen = omniglot_config.paper_settings("maml_plus_plus", ways, shots)
        assert (chosen["meta_batch_size"], chosen["iterations"]) == (8, 50_000)
        assert (chosen["inner_steps"], chosen["inner_lr"], chosen["eval_steps"]) == (5, 0.1, 5)
        assert (chosen["multi_step_iterations"], chosen["first_order_iterations"]) == (5_000, 0)
