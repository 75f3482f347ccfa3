"""Meta-gradients of theta and omega through five inner steps, against finite differences."""

import pytest

from mmaml_tf.encoders.pairs import PairEncoder
from tests.learners import CASES, check_every_variable, make_learner


@pytest.mark.parametrize(
    ("method", "modulation", "factored", "clip_norm"),
    [
        *((*case, True, 0.5) for case in CASES),
        ("maml", None, True, None),
        ("mumomaml", "film", False, None),
    ],
)
def test_against_finite_differences(float64, method, modulation, factored, clip_norm):
    """Both forms of fast weights and a limit or none: that forms agree is in test_adaptation.py."""
    check_every_variable(make_learner(method, modulation, factored, inner_clip_norm=clip_norm))


def test_of_the_pair_encoder(float64):
    check_every_variable(make_learner("mumomaml", "film", encoder=PairEncoder))
