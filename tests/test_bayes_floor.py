"""The Bayes floor's posterior against the exact one, which lines have."""

import numpy as np
import tensorflow as tf

from benchmarks.bayes_floor import posterior_mean
from data.families import LINEAR
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
