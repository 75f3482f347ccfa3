"""The gradient norms of benchmarks/percentiles.py, against a tape per task."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.percentiles import first_step_norms
from tests import reference
from tests.learners import CASES, make_batch, make_learner


@pytest.mark.parametrize("factored", [True, False], ids=["factored", "materialised"])
@pytest.mark.parametrize(("method", "modulation"), CASES)
def test_norms_of_the_first_inner_gradients(float64, method, modulation, factored):
    learner, batch = make_learner(method, modulation, factored), make_batch()
    tau, _ = learner.modulate(batch.support)
    expected = []
    for task, mode in enumerate(batch.mode):
        weights = reference.task_weights(learner, int(mode))
        own_tau = None if tau is None else [block[task : task + 1] for block in tau]
        support_x, support_y = batch.support.x[task], batch.support.y[task]
        gradients = reference.inner_gradients(learner, weights, own_tau, support_x, support_y)
        expected.append(tf.linalg.global_norm(gradients))
    np.testing.assert_allclose(first_step_norms(learner, batch), expected, rtol=1e-10)
