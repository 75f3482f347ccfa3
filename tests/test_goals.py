"""Goal distributions: balance, moments, densities, repeatability."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.goals import GOALS, GoalDistribution

ROOT = Path(__file__).resolve().parents[1]


def test_numbers_of_the_reference():
    expected = {
        "navigation_2d": ([[-0.5, -0.5], [0.5, 0.5]], 0.1**0.5),
        "navigation_2d_wide": ([[-2, -2], [2, 2]], 0.5),
        "cheetah_location": ([[-5], [5]], 1.0),
        "cheetah_speed": ([[-1.5], [1.5]], 0.5),
    }
    assert set(GOALS) == set(expected)
    for name, (means, std) in expected.items():
        np.testing.assert_array_equal(GOALS[name].means, means)
        assert GOALS[name].std == std
        assert len(GOALS[name].mode_names) == 2


@pytest.mark.parametrize("name", sorted(GOALS))
def test_samples_are_balanced_with_the_moments_of_their_mode(name):
    goals, modes = GOALS[name].sample(0, 20_000)
    assert goals.shape == (20_000, GOALS[name].dim) and goals.dtype == np.float64
    np.testing.assert_array_equal(np.bincount(modes), [10_000, 10_000])
    std = GOALS[name].std
    for mode, mean in enumerate(GOALS[name].means):
        of_mode = goals[modes == mode]
        # Standard errors are std / 100 and std / 141: five of them.
        np.testing.assert_allclose(of_mode.mean(axis=0), mean, atol=0.05 * std)
        np.testing.assert_allclose(of_mode.std(axis=0), std, atol=0.036 * std)
    if GOALS[name].dim == 2:  # isotropic: the axes are independent
        noise = goals - np.array(GOALS[name].means)[modes]
        assert abs(np.corrcoef(noise.T)[0, 1]) < 0.036


def test_any_even_slice_is_balanced():
    _, modes = GOALS["cheetah_speed"].sample(0, 8)
    np.testing.assert_array_equal(modes, [0, 1, 0, 1, 0, 1, 0, 1])


def test_samples_are_a_function_of_seed_and_iteration():
    goals = GOALS["navigation_2d"]
    np.testing.assert_array_equal(goals.sample([3, 7], 20)[0], goals.sample([3, 7], 20)[0])
    assert not np.allclose(goals.sample([3, 7], 20)[0], goals.sample([3, 8], 20)[0])
    assert not np.allclose(goals.sample([3, 7], 20)[0], goals.sample([4, 7], 20)[0])
    rng = np.random.default_rng([3, 7])
    np.testing.assert_array_equal(goals.sample(rng, 20)[0], goals.sample([3, 7], 20)[0])


def test_density_by_hand():
    # At a mean of the speed goals: half of 1 / (0.5 sqrt(2 pi)) from its own mode, and
    # exp(-0.5 * 6²) of that from the other.
    peak = 0.3989422804014327 / 0.5
    expected = 0.5 * peak * (1 + np.exp(-18.0))
    np.testing.assert_allclose(GOALS["cheetah_speed"].density([1.5]), expected, rtol=1e-12)
    # One std from a navigation mean along one axis; the other mode, 9² + 8² std² off, is < 1e-30.
    expected = 0.5 * np.exp(-0.5) / (2 * np.pi * 0.25)
    wide = GOALS["navigation_2d_wide"]
    np.testing.assert_allclose(wide.density([2.5, 2.0]), expected, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(GOALS))
def test_density_integrates_to_one(name):
    axis = np.linspace(-12, 12, 601)
    cell = axis[1] - axis[0]
    dim = GOALS[name].dim
    grid = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1)
    density = GOALS[name].density(grid)
    assert density.shape == grid.shape[:-1]
    np.testing.assert_allclose(density.sum() * cell**dim, 1.0, rtol=1e-6)


@pytest.mark.parametrize("num_tasks", [0, -2, 3])
def test_unbalanced_numbers_of_tasks_are_refused(num_tasks):
    with pytest.raises(ValueError, match=f"positive multiple of 2, got {num_tasks}"):
        GOALS["navigation_2d"].sample(0, num_tasks)


@pytest.mark.parametrize("points", [0.0, [1.0], [[1.0, 2.0, 3.0]]])
def test_points_of_the_wrong_dimension_are_refused(points):
    with pytest.raises(ValueError, match="shape"):
        GOALS["navigation_2d"].density(points)


@pytest.mark.parametrize(
    "names, means, std, message",
    [
        ((), (), 1.0, "one mean per mode"),
        (("a",), ((0.0,), (1.0,)), 1.0, "one mean per mode"),
        (("a", "b"), ((0.0,), (1.0, 2.0)), 1.0, "one dimension"),
        (("a",), ((0.0,),), 0.0, "positive"),
        (("a",), ((0.0,),), float("nan"), "positive"),
    ],
)
def test_meaningless_distributions_are_refused(names, means, std, message):
    with pytest.raises(ValueError, match=message):
        GoalDistribution(mode_names=names, means=means, std=std)


def test_goals_need_neither_tensorflow_nor_the_package():
    code = (
        "import sys, data.goals;"
        "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'mujoco')"
        " or m.startswith('mmaml_tf') and m not in ('mmaml_tf', 'mmaml_tf.tasks')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
