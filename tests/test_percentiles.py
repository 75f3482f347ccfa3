"""What the benchmarks say of trained learners: gradient norms by a tape per task, worst tasks."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.omniglot_errors import part_in_worst
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


def test_part_of_the_errors_in_the_worst_tasks():
    errors = np.array([0.0, 0.1, 0.0, 0.6, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert part_in_worst(errors, 0.01) == 0.6  # one task at least
    assert np.isclose(part_in_worst(errors, 0.2), 0.9)
    assert np.isclose(part_in_worst(errors, 0.5), 1.0)
