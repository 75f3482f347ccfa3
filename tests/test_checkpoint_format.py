"""Checkpoints from before the networks were Keras models."""

import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.errors import RunError
from mmaml_tf.training.checkpoints import Checkpoints
from tests import learners, omniglot_fixture
from tests.learners import meta_gradient


def write(folder, weights, iteration=7):
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = tf.train.Checkpoint(weights=[tf.Variable(value) for value in weights])
    checkpoint.write(str(folder / f"ckpt-{iteration}"))


def older_regression(learner):
    """theta with an axis of groups in front, then omega."""
    theta = [np.stack(parts) for parts in zip(*learner.network.groups, strict=True)]
    count = sum(len(variables) for variables in learner.network.groups)
    return [*theta, *(v.numpy() for v in learner.trainable_variables[count:])]


def older_classifier(learner):
    """The head with an axis of one; the encoder's kernels first, then scales and shifts."""
    *body, kernel, bias = [v.numpy() for v in learner.network.trainable_variables]
    encoder = [v.numpy() for v in learner.modulator.encoder.trainable_variables]
    kernels = [value for value in encoder if value.ndim == 4]
    others = [value for value in encoder if value.ndim != 4]
    heads = [v.numpy() for head in learner.modulator.heads for v in head.trainable_variables]
    return [*body, kernel[None], bias[None], *kernels, *others, *heads]


CASES = [
    (lambda seed: learners.make_learner("maml", seed=seed), older_regression),
    (lambda seed: learners.make_learner("multi_maml", seed=seed), older_regression),
    (lambda seed: learners.make_learner("mumomaml", "film", seed=seed), older_regression),
    (lambda seed: omniglot_fixture.make_learner("film", seed=seed), older_classifier),
    (lambda seed: omniglot_fixture.make_learner("sigmoid", seed=seed), older_classifier),
]


@pytest.mark.parametrize(("make", "older"), CASES)
def test_older_weights_are_restored(tmp_path, make, older):
    saved, learner = make(3), make(4)
    write(tmp_path, older(saved))
    assert Checkpoints(tmp_path, learner, weights_only=True).restore() == 7
    for variable, wanted in zip(
        learner.trainable_variables, saved.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(variable, wanted, err_msg=variable.path)


def test_todays_checkpoints_are_as_they_are(tmp_path):
    saved, learner = (learners.make_learner("multi_maml", seed=seed) for seed in (3, 4))
    write(tmp_path, [v.numpy() for v in saved.trainable_variables])
    assert Checkpoints(tmp_path, learner, weights_only=True).restore() == 7
    batch = learners.make_batch()
    np.testing.assert_array_equal(meta_gradient(learner, batch)[0], meta_gradient(saved, batch)[0])


def test_weights_of_another_learner_are_no_weights(tmp_path):
    learner = learners.make_learner("mumomaml", "sigmoid")
    before = learner.get_weights()
    write(tmp_path, older_regression(learners.make_learner("mumomaml", "film")))
    with pytest.raises(RunError, match="of another network"):
        Checkpoints(tmp_path, learner, weights_only=True).restore()
    for value, wanted in zip(learner.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_training_does_not_go_on_from_them(tmp_path):
    learner = learners.make_learner()
    learner.compile(optimizer="adam")
    learner.optimizer.build(learner.trainable_variables)
    write(tmp_path, older_regression(learner))
    with pytest.raises(RunError, match="of an earlier version: it can be evaluated and exported"):
        Checkpoints(tmp_path, learner).restore()
    assert (tmp_path / "ckpt-7.index").exists()
