"""Baselines: what they train on, and that nothing else of them changes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from mmaml_tf import methods
from mmaml_tf.learners.baselines import Oracle, Pretrained, Random
from mmaml_tf.learners.finetuned import FineTuned
from mmaml_tf.learners.nearest_neighbour import NearestNeighbour
from mmaml_tf.networks.models import conv_net, mlp
from mmaml_tf.tasks import Draw, TaskStream
from tests.learners import check_along_a_direction, check_every_variable, generic, make_batch
from tests.omniglot_fixture import write_archives
from tests.omniglot_runs import tiny_domain as tiny_omniglot
from tests.runs import tiny_domain

SAME = dict(rtol=1e-10, atol=1e-12)


def network():
    return mlp(1, (7, 6), 1, kernel_initializer="he_normal")


def test_pretrained_descends_the_loss_of_all_points(float64):
    model, batch = network(), make_batch()
    learner = Pretrained(model, inner_lr=0.1)
    losses, _, (gradients,) = learner.meta_gradients(batch)
    x, y = (tf.concat(parts, 1) for parts in zip(batch.support, batch.query, strict=True))
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean((model(tf.reshape(x, [-1, 1])) - tf.reshape(y, [-1, 1])) ** 2)
    np.testing.assert_allclose(tf.reduce_mean(losses), expected, **SAME)
    wanted = tape.gradient(expected, model.trainable_variables)
    for gradient, other in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(gradient, other, **SAME)
    # At evaluation it is fine-tuned as MAML would adapt.
    tuned = learner.after_each_step(batch.support, batch.query.x, 3).predictions
    maml = mm.MAML(model, inner_lr=0.1).after_each_step(batch.support, batch.query.x, 3)
    np.testing.assert_allclose(tuned, maml.predictions, **SAME)


def test_random_stays_what_it_was():
    learner = Random(network())
    learner.compile()
    before = [variable.numpy() for variable in learner.trainable_variables]
    learner.fit(tf.data.Dataset.from_tensors(make_batch()).repeat(), steps_per_epoch=3, verbose=0)
    for value, variable in zip(before, learner.trainable_variables, strict=True):
        np.testing.assert_array_equal(value, variable)
    assert int(learner.optimizer.iterations) == 3


def test_an_oracle_is_told_the_function():
    domain = tiny_domain("oracle")
    learner = domain.build_learner()
    assert isinstance(learner, Oracle)
    assert learner.network.model.input_shape == (None, 1 + (1 + 2) + (1 + 2))
    assert domain._shown().predictions(learner).shape == (1, 6, 201)


def test_finetune_trains_on_all_classes(tmp_path):
    write_archives(tmp_path)
    domain = tiny_omniglot(tmp_path, "finetune")
    batch = domain.training_tasks(tf.constant(0, tf.int64))
    learner = domain.build_learner()
    assert learner.classes.head.units == domain.tasks.num_classes == 5 * 4
    labels = np.unique(np.concatenate([batch.support.y, batch.query.y], 1))
    assert labels.max() > 2 and labels.max() < 20
    images = {}  # the same image has the same label in every task
    for image, label in zip(
        np.reshape(batch.support.x, [-1, 28 * 28]), np.ravel(batch.support.y), strict=True
    ):
        assert images.setdefault(image.tobytes(), label) == label
    tested = domain.tasks.sample(Draw(TaskStream.EVALUATION, 0, 0, 2), 1, 1)
    np.testing.assert_array_equal(tested.support.y, [[0, 1, 2]] * 2)


def test_a_finetuned_head_starts_at_zero_and_is_not_trained(float64):
    model = conv_net((6, 6, 1), 3, (4, 4))
    learner = FineTuned(model, num_classes=7, loss="cross_entropy", inner_lr=0.1)
    generic(learner, 1.0)
    (group,) = learner.parameter_groups()
    assert not any(variable is weight for variable in group for weight in model.layers[-1].weights)
    x, y = tf.random.normal([2, 3, 6, 6, 1], dtype=tf.float64), tf.constant([[0, 1, 2]] * 2)
    predictions = learner.after_each_step(mm.Examples(x, y), x, 1).predictions.numpy()
    np.testing.assert_array_equal(predictions[0], 0)
    assert (np.abs(predictions[1]).max((1, 2)) > 1e-3).all()


def test_the_nearest_image_says_the_class():
    """By hand: of two images a class, the nearest of all counts, not their mean's; by direction."""
    inputs = keras.Input([2])
    same = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")
    model = keras.Model(inputs, same(inputs))
    learner = NearestNeighbour(model, num_ways=3, num_classes=4)
    support = mm.Examples(
        tf.constant([[[0.0, 0.0], [9.0, 0.0], [3.0, 4.0], [0.0, 5.0]]]), tf.constant([[0, 0, 1, 1]])
    )
    queries = tf.constant([[[1.0, 0.0], [0.0, 2.0], [4.0, 3.0]]])
    logits = learner.after_each_step(support, queries).predictions[0, 0].numpy()
    cosines = [[1.0, 0.6], [0.0, 1.0], [0.8, 0.96]]
    np.testing.assert_allclose(logits[:, :2], cosines, rtol=1e-5, atol=1e-7)
    assert (logits[:, 2] < -1e8).all()  # of which there is none


def test_its_features_are_those_of_a_classifier_of_all_classes(float64):
    rng = np.random.default_rng(0)
    model = conv_net((6, 6, 1), None, (4, 4))
    learner = NearestNeighbour(model, num_ways=3, num_classes=7)
    for variable in learner.trainable_variables:
        variable.assign_add(0.3 * rng.normal(size=variable.shape))
    x, y = tf.constant(rng.normal(size=[2, 3, 6, 6, 1])), tf.constant([[0, 6, 3], [5, 1, 4]])
    check_along_a_direction(
        learner, mm.TaskBatch(mm.Examples(x, y), mm.Examples(x + 1, y), tf.zeros(2, tf.int32))
    )


@pytest.mark.parametrize("make", [Pretrained, Oracle])
def test_training_gradient_is_the_difference_quotient(float64, make):
    check_every_variable(make(network()))


@pytest.mark.parametrize("method", methods.of("regression"))
def test_evaluate_reports_the_loss_after_the_steps(method):
    domain = tiny_domain(method)
    check_evaluate(domain, domain.build_learner(), mm.losses.mean_squared_error)


@pytest.mark.parametrize("method", ["maml", "protonet", "finetune", "nearest_neighbour"])
def test_evaluate_reports_the_loss_of_a_tasks_own_classes(method, tmp_path):
    write_archives(tmp_path)
    domain = tiny_omniglot(tmp_path, method)
    check_evaluate(domain, domain.build_learner(), mm.losses.cross_entropy)


def check_evaluate(domain, learner, loss):
    learner.compile()
    learner.task_metric = loss
    shots = domain.config.num_shots
    batch = domain.tasks.sample(Draw(TaskStream.EVALUATION, 0, 0, 4), shots, shots)
    logs = learner.test_step(batch)
    np.testing.assert_allclose(logs["loss"], logs["metric"], rtol=1e-5)
