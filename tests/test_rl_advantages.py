"""Returns, baseline and advantages against sums by hand and NumPy's least squares."""

import numpy as np
import tensorflow as tf

from mmaml_tf.rl.advantages import (
    RIDGE,
    baseline_features,
    discounted_sums,
    fit_baseline,
    generalised_advantages,
    normalised,
)
from mmaml_tf.rl.rollouts import PolicyData
from tests.rl_problem import HORIZON, make_rollouts


def test_discounted_sums_by_hand():
    sums = discounted_sums(tf.constant([[1.0, 2.0, 4.0], [0.0, 0.0, 8.0]], tf.float64), 0.5)
    np.testing.assert_allclose(sums, [[3.0, 4.0, 4.0], [2.0, 4.0, 8.0]], rtol=1e-14)


def test_discounted_sums_equal_the_recursion_over_a_long_horizon():
    rewards = np.random.default_rng(0).normal(size=(3, 200))
    expected = np.zeros_like(rewards)
    running = np.zeros(3)
    for step in reversed(range(200)):
        running = rewards[:, step] + 0.99 * running
        expected[:, step] = running
    np.testing.assert_allclose(discounted_sums(tf.constant(rewards), 0.99), expected, rtol=1e-11)


def test_features_by_hand():
    observations = tf.constant([[[[0.5, -20.0]], [[3.0, 2.0]]]], tf.float64)[:, :, ::1]
    observations = tf.reshape(observations, [1, 1, 2, 2])
    expected = [
        [0.5, -10.0, 0.25, 100.0, 0.0, 0.0, 0.0, 1.0],
        [3.0, 2.0, 9.0, 4.0, 0.01, 1e-4, 1e-6, 1.0],
    ]
    np.testing.assert_allclose(baseline_features(observations)[0, 0], expected, rtol=1e-12)


def test_baseline_is_ridge_regression_of_every_task_on_its_own_steps():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(3, 40, 6)), rng.normal(size=(3, 40))
    weights = (rng.random((3, 40)) < 0.7).astype(float)
    fitted = fit_baseline(*map(tf.constant, (features, targets, weights))).numpy()
    for task in range(3):
        live = weights[task] > 0
        # Ridge regression is least squares with one more row per coefficient.
        rows = np.concatenate([features[task][live], np.sqrt(RIDGE) * np.eye(6)])
        values = np.concatenate([targets[task][live], np.zeros(6)])
        expected = np.linalg.lstsq(rows, values, rcond=None)[0]
        np.testing.assert_allclose(fitted[task], expected, rtol=1e-9)


def test_advantages_by_the_recursion_with_a_baseline_of_ones_own():
    rollouts = make_rollouts()
    gamma, lam = 0.9, 0.8
    observations, _, rewards, mask = (np.array(part, np.float64) for part in rollouts)
    advantages = generalised_advantages(
        *map(tf.constant, (observations, rewards, mask)), gamma, lam
    ).numpy()
    features = np.array(baseline_features(tf.constant(observations)))
    returns = np.array(discounted_sums(tf.constant(rewards), gamma))
    for task in range(3):
        live = mask[task] > 0
        rows = np.concatenate([features[task][live], np.sqrt(RIDGE) * np.eye(features.shape[-1])])
        targets = np.concatenate([returns[task][live], np.zeros(features.shape[-1])])
        coefficients = np.linalg.lstsq(rows, targets, rcond=None)[0]
        for episode in range(2):
            length = int(mask[task, episode].sum())
            values = np.append(features[task, episode, :length] @ coefficients, 0.0)
            running = 0.0
            for step in reversed(range(length)):
                delta = rewards[task, episode, step] + gamma * values[step + 1] - values[step]
                running = delta + gamma * lam * running
                np.testing.assert_allclose(advantages[task, episode, step], running, atol=1e-6)
            assert not advantages[task, episode, length:].any()


def test_normalised_over_live_steps_only():
    mask = np.array(make_rollouts().mask, np.float64)
    advantages = np.random.default_rng(1).normal(3.0, 5.0, mask.shape)
    result = normalised(tf.constant(advantages), tf.constant(mask)).numpy()
    for task in range(len(mask)):
        live = result[task][mask[task] > 0]
        np.testing.assert_allclose([live.mean(), live.std()], [0.0, 1.0], atol=1e-7)
    assert not result[mask == 0].any()


def test_what_follows_an_episodes_end_changes_nothing():
    rollouts = make_rollouts()
    mask = rollouts.mask[..., None]
    garbage = rollouts._replace(
        observations=rollouts.observations * mask + 7.0 * (1 - mask),
        actions=rollouts.actions * mask - 5.0 * (1 - mask),
    )
    clean, dirty = (PolicyData.from_rollouts(r, 0.99, 1.0) for r in (rollouts, garbage))
    np.testing.assert_allclose(clean.advantages, dirty.advantages, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(clean.weights, 1), np.ones(3), rtol=1e-6)
    assert not np.array(clean.weights)[np.array(rollouts.mask).reshape(3, -1) == 0].any()
    assert clean.observations.shape == (3, 2 * HORIZON, 2)


def test_thinning_keeps_every_so_many_th_step_and_the_sum_of_weights():
    data = PolicyData.from_rollouts(make_rollouts(), 0.99, 1.0)
    thin = data.every(3)
    np.testing.assert_array_equal(thin.actions, data.actions[:, ::3])
    np.testing.assert_allclose(tf.reduce_sum(thin.weights, 1), np.ones(3), rtol=1e-6)
