"""Meta-gradients of theta and omega through five inner steps, against finite differences."""

import pytest

from mmaml_tf.encoders.pairs import PairEncoder
from tests.learners import CASES, check_every_variable, make_learner


@pytest.mark.parametrize(
    ("factored", "clip_norm"),
    [(True, None), (True, 0.5), (False, None)],
    ids=["factored", "factored-clipped", "materialised"],
)
@pytest.mark.parametrize(("method", "modulation"), CASES)
def test_against_finite_differences(float64, method, modulation, clip_norm, factored):
    check_every_variable(make_learner(method, modulation, factored, inner_clip_norm=clip_norm))


def test_of_the_pair_encoder(float64):
    check_every_variable(make_learner("mumomaml", "film", encoder=PairEncoder))
