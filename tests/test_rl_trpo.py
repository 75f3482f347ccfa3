"""TRPO and its meta-update against explicit matrices and finite differences, in float64."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from mmaml_tf.devices.workers import Workers
from mmaml_tf.encoders.moments import MomentEncoder
from mmaml_tf.rl import trpo
from tests.rl_problem import make_experience, make_learner
from tests.trpo_checks import check_gradient, explicit_fisher, shift, updater


def test_flatten_and_back():
    parts = [tf.reshape(tf.range(6.0), [2, 3]), tf.constant([7.0]), tf.ones([1, 2, 2])]
    vector = trpo.flatten(parts)
    assert vector.shape == (11,)
    for part, back in zip(parts, trpo.unflatten(vector, parts), strict=True):
        np.testing.assert_array_equal(part, back)


@pytest.mark.parametrize(
    ("losses", "divergences", "fraction"),
    [
        ([-1.0], [0.005], 1.0),  # good at once
        ([-1.0, -0.8], [0.02, 0.009], 0.8),  # the divergence was too large
        ([0.1, 0.0, -0.1], [0.0, 0.0, 0.0], 0.64),  # no improvement at first
        ([np.nan, -1.0], [0.0, 0.0], 0.8),
        ([-1.0, -1.0], [np.nan, 0.0], 0.8),
        ([-np.inf] * 15, [np.inf] * 15, 0.0),
        ([-1.0] * 15, [0.0101] * 15, 0.0),  # never above the limit, however good
    ],
)
def test_line_search(losses, divergences, fraction):
    tried = []

    def evaluate(share):
        tried.append(share)
        return losses[len(tried) - 1], divergences[len(tried) - 1]

    chosen = trpo.line_search(evaluate, 0.0, max_kl=0.01)
    assert chosen.fraction == pytest.approx(fraction)
    assert chosen.kl <= 0.01 and chosen.loss <= 0.0
    assert chosen.loss == (losses[len(tried) - 1] if fraction else 0.0)


CASES = [(None, 1), ("film", 1), ("sigmoid", 2), ("softmax", 0)]


@pytest.mark.parametrize(("modulation", "num_steps"), CASES)
def test_meta_gradient_against_finite_differences(modulation, num_steps, float64):
    check_gradient(make_learner(modulation, num_steps))


def test_meta_gradient_of_the_moment_encoder(float64):
    check_gradient(make_learner(encoder=MomentEncoder))


def test_first_order_gradient_differs():
    """What a cut through the inner gradient would give, so the test above would notice."""
    gradients = []
    for first_order in (False, True):
        learner = make_learner(first_order=first_order)
        gradients.append(updater().gradient(learner, make_experience(learner))[1].numpy())
    assert np.linalg.norm(gradients[0] - gradients[1]) > 0.01 * np.linalg.norm(gradients[0])


@pytest.mark.parametrize(("modulation", "num_steps"), CASES)
def test_fisher_product_against_the_explicit_matrix(modulation, num_steps, float64):
    learner = make_learner(modulation, num_steps)
    experience = make_experience(learner)
    meta = updater(cg_damping=0.3)
    matrix = explicit_fisher(learner, experience)
    _, _, _, fast = meta.gradient(learner, experience)
    product = tf.function(lambda v: meta.fisher(learner, experience, fast)(v), autograph=False)
    rng = np.random.default_rng(0)
    for _ in range(3):
        vector = rng.normal(size=len(matrix))
        expected = matrix @ vector + 0.3 * vector
        # Central differences of the Jacobian.
        np.testing.assert_allclose(product(tf.constant(vector)), expected, rtol=1e-5, atol=1e-7)


def test_full_step_solves_for_the_direction_and_its_length(float64):
    learner = make_learner(None)
    experience = make_experience(learner)
    meta = updater(cg_iterations=100, cg_damping=0.3)
    _, gradient, _, fast = meta.gradient(learner, experience)
    matrix = explicit_fisher(learner, experience) + 0.3 * np.eye(len(gradient))
    direction = np.linalg.solve(matrix, -gradient)
    length = np.sqrt(2 * 0.01 / (direction @ matrix @ direction))
    # Conjugate gradients end at a residual of 1e-5.
    step = meta.full_step(learner, experience, gradient, fast)
    np.testing.assert_allclose(step, length * direction, rtol=0, atol=1e-4 * np.abs(step).max())


def test_conjugate_gradients_end_after_their_iterations(float64):
    learner = make_learner(None)
    experience = make_experience(learner)
    _, gradient, _, fast = updater().gradient(learner, experience)
    steps = []
    for num_iterations in (1, 2):
        meta = updater(cg_iterations=num_iterations)
        steps.append(meta.full_step(learner, experience, gradient, fast).numpy())
    one, two = steps
    assert abs(one @ gradient.numpy()) == pytest.approx(
        np.linalg.norm(one) * np.linalg.norm(gradient)  # the first goes along the gradient
    )
    assert np.linalg.norm(two - one) > 0.01 * np.linalg.norm(one)


def test_thinned_curvature_is_taken_at_the_exact_policy(float64):
    """theta' of all steps, not that of those that are left."""
    learner = make_learner(modulation=None)
    experience = make_experience(learner)
    outputs, fast = learner.replay(experience)
    thinned = experience.every(3, 1)
    np.testing.assert_allclose(learner.replay(thinned, at=fast)[0], outputs, rtol=1e-12)
    assert np.abs(learner.replay(thinned)[0] - outputs).max() > 1e-3
    moved = tf.nest.map_structure(lambda part: part + 0.1, fast)
    vector = tf.ones(sum(int(tf.size(x)) for x in learner.trainable_variables), tf.float64)
    here, there = (
        updater(support_stride=3).fisher(learner, experience, at)(vector) for at in (fast, moved)
    )
    assert np.abs(here - there).max() > 1e-3


def test_loss_and_divergence_far_from_the_old_policy(float64):
    """Where a ratio is no log ratio, and KL(old || new) not KL(new || old)."""
    learner = make_learner(None)
    experience, meta = make_experience(learner), updater()
    old = meta.gradient(learner, experience)[2]
    size = sum(int(tf.size(variable)) for variable in learner.trainable_variables)
    shift(learner, 0.3 * np.random.default_rng(0).normal(size=size))
    _, actions, advantages, weights = (part.numpy() for part in experience.query)
    (mean, log_stddev), (new_mean, new_log) = (
        np.split(part.numpy(), 2, -1) for part in (old, learner.replay(experience)[0])
    )
    before = stats.norm(mean, np.exp(log_stddev)).logpdf(actions).sum(-1)
    after = stats.norm(new_mean, np.exp(new_log)).logpdf(actions).sum(-1)
    divergence = (np.exp(2 * log_stddev) + (mean - new_mean) ** 2) / (2 * np.exp(2 * new_log))
    divergence = (divergence + new_log - log_stddev - 0.5).sum(-1)
    loss, kl = meta.evaluate(learner, experience, old)
    expected = -np.sum(weights * np.exp(after - before) * advantages, 1).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-9)
    np.testing.assert_allclose(kl, np.sum(weights * divergence, 1).mean(), rtol=1e-9)
    assert kl > 0.05


class Doubling(Workers):
    """Says twice what it is asked to average."""

    def mean(self, parts):
        return tf.nest.map_structure(lambda part: 2.0 * part, parts)


def test_workers_judge_a_step_by_all_tasks(float64):
    learner = make_learner(None, num_steps=0)
    experience = make_experience(learner)
    old = learner.replay(experience)[0] + 0.1
    alone = updater().evaluate(learner, experience, old)
    learner.workers = Doubling()
    together = updater().evaluate(learner, experience, old)
    np.testing.assert_allclose(together, 2.0 * np.array(alone))


@pytest.mark.parametrize("modulation", [None, "film"])
def test_update_lowers_the_surrogate_within_the_limit(modulation):
    learner = make_learner(modulation)
    experience = make_experience(learner)
    meta = updater()
    _, _, old_outputs, _ = meta.gradient(learner, experience)
    before = learner.get_weights()
    chosen = meta(learner, experience)
    loss, kl = meta.evaluate(learner, experience, old_outputs)
    assert chosen.fraction > 0 and loss < 0 and 1e-4 < kl <= 0.01
    assert (chosen.loss, chosen.kl) == (float(loss), float(kl))  # what it says is what it did
    assert any(np.any(b != a) for b, a in zip(before, learner.get_weights(), strict=True))


def test_update_without_an_acceptable_step_changes_nothing():
    learner = make_learner()
    experience = make_experience(learner)
    meta = updater(max_kl=1e-30)  # nothing but no step keeps to that
    before = learner.get_weights()
    assert meta(learner, experience).fraction == 0.0
    for value, after in zip(before, learner.get_weights(), strict=True):
        np.testing.assert_array_equal(value, after)
