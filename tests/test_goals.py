"""Goal distributions: balance, moments, densities, repeatability."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.goal_distributions import GaussianGoals, PointGoals, UniformGoals
from data.goals import GOALS

ROOT = Path(__file__).resolve().parents[1]


GAUSSIAN = sorted(name for name, goals in GOALS.items() if isinstance(goals, GaussianGoals))
BOXES = UniformGoals(
    ("left", "right"), low=((-3.0, 0.0), (1.0, 2.0)), high=((-1.0, 1.0), (2.0, 5.0))
)


def test_numbers_of_the_reference():
    expected = {
        "navigation_2d": ([[-0.5, -0.5], [0.5, 0.5]], 0.1**0.5),
        "navigation_2d_wide": ([[-2, -2], [2, 2]], 0.5),
        "cheetah_location": ([[-5], [5]], 1.0),
        "cheetah_speed": ([[-1.5], [1.5]], 0.5),
    }
    assert set(GAUSSIAN) == set(expected)
    for name, (means, std) in expected.items():
        np.testing.assert_array_equal(GOALS[name].means, means)
        assert GOALS[name].std == std
        assert len(GOALS[name].mode_names) == 2


@pytest.mark.parametrize("name", GAUSSIAN)
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


@pytest.mark.parametrize("name", GAUSSIAN)
def test_density_integrates_to_one(name):
    axis = np.linspace(-12, 12, 601)
    cell = axis[1] - axis[0]
    dim = GOALS[name].dim
    grid = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1)
    density = GOALS[name].density(grid)
    assert density.shape == grid.shape[:-1]
    np.testing.assert_allclose(density.sum() * cell**dim, 1.0, rtol=1e-6)


def test_mamls_goals():
    """[MAML]'s code: the unit square around the start, U[0, 2], U[0, 3], and two directions."""
    boxes = {
        "maml_navigation": ([-0.5, -0.5], [0.5, 0.5]),
        "maml_cheetah_velocity": ([0.0], [2.0]),
        "maml_ant_velocity": ([0.0], [3.0]),
    }
    directions = {"maml_cheetah_direction", "maml_ant_direction"}
    assert set(GOALS) == {*GAUSSIAN, *boxes, *directions}
    for name, (low, high) in boxes.items():
        goals, modes = GOALS[name].sample(0, 10_001)
        assert (modes == 0).all() and goals.shape == (10_001, len(low)) and GOALS[name].mode_names
        np.testing.assert_allclose(goals.min(0), low, atol=0.002)
        np.testing.assert_allclose(goals.max(0), high, atol=0.002)
        np.testing.assert_allclose(goals.mean(0), np.add(low, high) / 2, atol=0.05)
    for name in directions:
        goals, modes = GOALS[name].sample(0, 4)
        np.testing.assert_array_equal(goals, [[-1], [1], [-1], [1]])
        np.testing.assert_array_equal(modes, [0, 1, 0, 1])
        np.testing.assert_array_equal(GOALS[name].density([[1.0], [0.5], [-1.0]]), [0.5, 0, 0.5])


def test_boxes_by_hand():
    goals, modes = BOXES.sample(3, 2_000)
    for mode in range(2):
        of_mode = goals[modes == mode]
        assert len(of_mode) == 1_000
        assert (BOXES.low[mode] <= of_mode).all() and (of_mode < BOXES.high[mode]).all()
        middle, side = np.add(BOXES.low[mode], BOXES.high[mode]) / 2, np.ptp(of_mode, 0)
        np.testing.assert_allclose(of_mode.mean(0), middle, atol=5 * side.max() / 12**0.5 / 31)
    # Half in each, spread over areas of 2 and 3.
    density = BOXES.density([[-2.0, 0.5], [1.5, 3.0], [0.0, 0.5], [-2.0, 3.0]])
    np.testing.assert_allclose(density, [1 / 4, 1 / 6, 0, 0], rtol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformGoals(("a",), ((0.0,),), ((0.0,),)), "low must be below high"),
        (lambda: UniformGoals(("a",), ((0.0,),), ((1.0, 1.0),)), "one dimension"),
        (lambda: UniformGoals(("a",), (), ()), "one low corner per mode"),
        (lambda: PointGoals(("a",), ((0.0,), (1.0,))), "one point per mode name, got 2 and 1"),
    ],
)
def test_meaningless_boxes_and_points_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


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
        GaussianGoals(mode_names=names, means=means, std=std)


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
