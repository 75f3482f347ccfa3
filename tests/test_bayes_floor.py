"""The Bayes floor's posterior against the exact one, which lines have."""

import numpy as np
import tensorflow as tf

from benchmarks.bayes_floor import errors, parts_by_ambiguity, posterior_mean
from data.families import ABS, LINEAR
from data.regression import Mixture
from mmaml_tf.tasks import Examples

NOISE = 0.3


def test_posterior_of_a_line():
    """Far from the priors' bounds it is the least-squares fit, with a Gaussian around it."""
    x = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
    y = 0.8 * x + 0.5 + np.array([0.3, -0.2, 0.1, 0.4, -0.3])
    features = np.stack([x, np.ones(5)], 1)
    fit, residual, _, _ = np.linalg.lstsq(features, y)
    points = [-5.0, 1.0, 5.0]
    support = Examples(*(tf.constant(v.reshape(1, 5, 1), tf.float32) for v in (x, y)))
    predictions, evidence, effective = posterior_mean(
        LINEAR, NOISE, support, tf.constant(points, shape=[1, 3, 1]), draws=400_000
    )
    # Draws from the prior that count: its density 1 / 36 times the posterior's "area", 4 pi s^2.
    determinant = np.linalg.det(features.T @ features) / NOISE**4
    expected = 400_000 / 36 * 4 * np.pi / np.sqrt(determinant)
    assert 0.8 < effective.numpy() / expected < 1.2
    # The prediction's deviation is 0.26 at most (x = 5), over the root of 600 draws.
    np.testing.assert_allclose(predictions[0], np.polyval(fit, points), atol=4 * 0.26 / 24)
    exact = np.log(2 * np.pi / np.sqrt(determinant) / 36) - residual[0] / (2 * NOISE**2)
    np.testing.assert_allclose(evidence[0], exact, atol=4 / 24)


def test_error_by_how_well_the_mode_is_told():
    losses = np.array([[8.0, 2.0], [4.0, 0.0], [1.0, 1.0], [3.0, 1.0]])
    table = parts_by_ambiguity(losses, np.array([0.2, 0.95, 1.0, 1.0 + 1e-6]), ["one", "two"])
    assert list(table.index) == ["up to 0.5", "up to 0.9", "up to 0.99", "up to 1"]
    assert list(table["share of tasks"]) == [0.25, 0.0, 0.25, 0.5]
    assert list(table["one"]) == [2.0, 0.0, 1.0, 1.0]
    assert list(table["two"]) == [0.5, 0.0, 0.0, 0.5]


def test_two_equal_families_can_not_be_told_apart():
    """Then being told the mode is worth nothing; with other families it is."""
    same, modes, _, probability = errors(Mixture([LINEAR, LINEAR]), tf.constant(0), draws=20_000)
    np.testing.assert_allclose(probability, 0.5, atol=1e-6)
    np.testing.assert_allclose(same[:, 0], same[:, 1], rtol=1e-4)
    assert list(modes) == [0] * 6 + [1] * 6
    other, _, _, probability = errors(Mixture([LINEAR, ABS]), tf.constant(0), draws=20_000)
    assert np.median(probability) > 0.9
    assert np.max(np.abs(other[:, 0] - other[:, 1])) > 0.01
