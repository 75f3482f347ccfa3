"""Meta-gradients of theta and omega through five inner steps, against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.encoders.pairs import PairEncoder
from tests.learners import CASES, make_batch, make_learner, meta_gradient

# Central differences with h = 1e-6 in float64 are good to about h^2 + 1e-16 / h, relative 1e-9;
# 1e-6 leaves room for cancellation in small components and catches any wrong term.
STEP, TOLERANCE = 1e-6, 1e-6


@pytest.mark.parametrize(
    ("factored", "clip_norm"),
    [(True, None), (True, 0.5), (False, None)],
    ids=["factored", "factored-clipped", "materialised"],
)
@pytest.mark.parametrize(("method", "modulation"), CASES)
def test_against_finite_differences(float64, method, modulation, clip_norm, factored):
    check(make_learner(method, modulation, factored, inner_clip_norm=clip_norm))


def test_of_the_pair_encoder(float64):
    check(make_learner("mumomaml", "film", encoder=PairEncoder))


def check(learner):
    """Compares every variable's meta-gradient along a random direction."""
    batch = make_batch()
    loss_of = tf.function(lambda: tf.reduce_mean(learner.meta_loss(batch)[0]))
    _, gradients = tf.function(lambda: meta_gradient(learner, batch))()
    rng = np.random.default_rng(0)
    for variable, gradient in zip(learner.trainable_variables, gradients, strict=True):
        direction = rng.normal(size=variable.shape)
        variable.assign_add(STEP * direction)
        above = loss_of().numpy()
        variable.assign_sub(2 * STEP * direction)
        below = loss_of().numpy()
        variable.assign_add(STEP * direction)
        numeric = (above - below) / (2 * STEP)
        analytic = np.sum(gradient.numpy() * direction)
        assert numeric != 0, f"{variable.path} has no effect on the meta-loss"
        np.testing.assert_allclose(
            analytic, numeric, rtol=TOLERANCE, atol=TOLERANCE * 1e-2, err_msg=variable.path
        )
