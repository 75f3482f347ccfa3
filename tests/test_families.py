"""Regression task distributions: bounds, means, noise, balance, and purity of the draws."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from data.families import ABS, LINEAR, QUADRATIC, SINUSOID, TANH, Family
from data.priors import RandomSign, Uniform
from data.regression import MIXTURES, Mixture
from mmaml_tf.regression.shown_tasks import ShownTasks
from mmaml_tf.tasks import Draw, TaskStream
from tests.runs import tiny_domain

SIZES = dict(num_shots=5, num_queries=7)
TRAINING, EVALUATION = TaskStream.TRAINING, TaskStream.EVALUATION


@pytest.mark.parametrize("name", MIXTURES)
def test_batches_are_balanced_and_sorted(name):
    mixture = MIXTURES[name]
    batch = mixture.sample(Draw(TRAINING, 0, 0, 60), **SIZES)
    assert batch.support.x.shape == batch.support.y.shape == (60, 5, 1)
    assert batch.query.x.shape == batch.query.y.shape == (60, 7, 1)
    modes = len(mixture.families)
    np.testing.assert_array_equal(batch.mode, np.repeat(np.arange(modes), 60 // modes))


def test_inputs_cover_their_range_evenly():
    batch = MIXTURES["regression_2mode"].sample(Draw(TRAINING, 0, 0, 2000), 5, 5)
    for x in (batch.support.x.numpy(), batch.query.x.numpy()):
        assert -5 <= x.min() < -4.99
        assert 4.99 < x.max() <= 5
        # The mean of 10,000 draws of U[-5, 5] has standard error 0.029, the variance 0.075.
        assert abs(x.mean()) < 4 * 0.029
        assert abs(x.var() - 100 / 12) < 4 * 0.075


def test_support_and_query_are_different_points():
    batch = MIXTURES["regression_3mode"].sample(Draw(TRAINING, 0, 0, 60), **SIZES)
    points = np.concatenate([batch.support.x, batch.query.x], 1)[..., 0]
    assert all(len(set(task)) == 12 for task in points)


@pytest.mark.parametrize(
    ("family", "formula"),
    [
        (SINUSOID, lambda x, amplitude, phase: amplitude * np.sin(x - phase)),
        (LINEAR, lambda x, slope, intercept: slope * x + intercept),
        (
            QUADRATIC,
            lambda x, sign, curvature, centre, offset: (
                sign * curvature * (x - centre) ** 2 + offset
            ),
        ),
        (TANH, lambda x, scale, centre, offset: scale * np.tanh(x - centre) + offset),
        (ABS, lambda x, scale, centre, offset: scale * np.abs(x - centre) + offset),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_family_formulas(family, formula):
    x = np.linspace(-5, 5, 11).reshape(1, -1, 1).astype(np.float32)
    values = {name: np.float32(0.3 + 0.9 * i) for i, name in enumerate(family.priors)}
    np.testing.assert_allclose(
        family.function(tf.constant(x), **values), formula(x, **values), rtol=1e-5, atol=1e-6
    )


def test_priors():
    bounds = {
        (family.name, name): (prior.low, prior.high)
        for family in (SINUSOID, LINEAR, QUADRATIC, TANH, ABS)
        for name, prior in family.priors.items()
        if isinstance(prior, Uniform)
    }
    assert bounds.pop(("sinusoid", "amplitude")) == (0.1, 5.0)
    assert bounds.pop(("sinusoid", "phase")) == pytest.approx((0.0, np.pi))
    assert bounds.pop(("quadratic", "curvature")) == (0.02, 0.15)
    assert len(bounds) == 10
    assert set(bounds.values()) == {(-3.0, 3.0)}
    draws = Uniform(0.1, 5.0).sample([10_000], tf.constant([1, 2])).numpy()
    assert 0.1 <= draws.min() < 0.11
    assert 4.99 < draws.max() <= 5.0
    assert abs(draws.mean() - 2.55) < 4 * 0.0142  # standard error of the mean
    signs = RandomSign().sample([10_000], tf.constant([1, 2])).numpy()
    assert set(signs) == {-1.0, 1.0}
    assert abs(signs.mean()) < 4 * 0.01


def test_parameters_vary_independently_across_tasks():
    """Slope and intercept read off each line: uniform, uncorrelated."""
    lines = Mixture([LINEAR]).curves(Draw(TRAINING, 0, 0, 2000), tf.constant([0.0, 1.0])).numpy()
    intercept, slope = lines[:, 0], lines[:, 1] - lines[:, 0]
    for values in (slope, intercept):
        assert np.abs(values).max() <= 3.0001
        assert abs(values.mean()) < 4 * 0.0387  # sqrt(3 / 2000)
        assert abs(values.var() - 3.0) < 0.25
    assert abs(np.corrcoef(slope, intercept)[0, 1]) < 4 / np.sqrt(2000)


def test_modes_do_not_share_their_draws():
    lines = Mixture([LINEAR, LINEAR]).curves(Draw(TRAINING, 0, 0, 40), tf.constant([0.0, 1.0]))
    assert len(np.unique(lines.numpy()[:, 0])) == len(np.unique(lines.numpy()[:, 1])) == 40


@pytest.mark.parametrize("part", ["support", "query"])
def test_every_target_is_noisy(part):
    noisy = Mixture([LINEAR])
    clean = Mixture([LINEAR], noise_stddev=0.0)
    arguments = (Draw(TRAINING, 0, 0, 1000), 5, 5)
    noise = getattr(noisy.sample(*arguments), part).y - getattr(clean.sample(*arguments), part).y
    # 5,000 draws: the standard error of the standard deviation is 0.003.
    assert abs(np.std(noise) - 0.3) < 4 * 0.003
    assert abs(np.mean(noise)) < 4 * 0.3 / np.sqrt(5000)


def test_curves_are_the_sampled_tasks_functions():
    mixture = Mixture(MIXTURES["regression_5mode"].families, noise_stddev=0.0)
    batch = mixture.sample(Draw(EVALUATION, 3, 2, 10), 4, 1)
    for task in range(10):
        curve = mixture.curves(Draw(EVALUATION, 3, 2, 10), batch.support.x[task, :, 0])[task]
        np.testing.assert_allclose(curve, batch.support.y[task, :, 0], rtol=1e-5, atol=1e-5)


def test_draws_are_a_pure_function_of_stream_seed_and_iteration():
    mixture = MIXTURES["regression_2mode"]
    draw = lambda *key: mixture.sample(Draw(*key, 60), **SIZES).support.y.numpy()  # noqa: E731
    base = draw(TRAINING, 1, 5)
    np.testing.assert_array_equal(base, draw(TRAINING, 1, 5))
    in_graph = tf.function(lambda i: mixture.sample(Draw(TRAINING, 1, i, 60), **SIZES).support.y)
    np.testing.assert_array_equal(base, in_graph(tf.constant(5, tf.int64)))
    for other in ((TRAINING, 1, 6), (TRAINING, 2, 5), (EVALUATION, 1, 5)):
        assert not np.any(base == draw(*other))


def test_one_sided_tasks_are_seen_in_the_lower_half():
    mixture, draw = MIXTURES["regression_2mode"], Draw(EVALUATION, 0, 0, 200)
    for x in (part.x for part in mixture.one_sided().sample(draw, 5, 5)[:2]):
        assert -5 <= np.min(x) < -4.9 and -0.1 < np.max(x) <= 0


def test_own_family():
    steps = Family("step", lambda x, at: tf.where(x < at, 0.0, 1.0), {"at": Uniform(-1.0, 1.0)})
    batch = Mixture([steps, LINEAR], noise_stddev=0.0).sample(Draw(TRAINING, 0, 0, 10), 5, 5)
    assert set(np.unique(batch.query.y[:5])) <= {0.0, 1.0}


def test_told_inputs_give_the_function():
    """An oracle's inputs: the task's family and parameters, from which every y follows."""
    mixture = Mixture([SINUSOID, LINEAR], noise_stddev=0.0)
    draw = Draw(TRAINING, 0, 3, 6)
    batch, told = mixture.sample(draw, 4, 5), mixture.told().sample(draw, 4, 5)
    assert told.query.x.shape == [6, 5, mixture.told().input_size] == [6, 5, 7]
    np.testing.assert_array_equal(told.query.y, batch.query.y)
    x, wave, amplitude, phase, line, slope, intercept = np.moveaxis(told.query.x.numpy(), -1, 0)
    np.testing.assert_array_equal(x, batch.query.x[..., 0])
    np.testing.assert_array_equal(wave[:, 0], [1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(line, 1 - wave)
    y = wave * amplitude * np.sin(x - phase) + line * (slope * x + intercept)
    np.testing.assert_allclose(y, batch.query.y[..., 0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(
        mixture.told().grid(draw, tf.constant([0.0, 1.0]))[:, :, 1:], told.query.x[:, :2, 1:]
    )


@pytest.mark.parametrize("one_sided", [False, True])
def test_figures_show_the_range_of_the_inputs(one_sided):
    domain = tiny_domain()
    tasks = dataclasses.replace(domain.tasks, inputs=Uniform(2.0, 3.0))
    shown = ShownTasks(tasks, domain.config, one_sided)
    (figure,) = shown.figures({"zero": np.zeros([1, 6, 201])}).values()
    lines = [line.get_xdata() for axes in figure.axes for line in axes.lines]
    assert {(x.min(), x.max()) for x in lines if len(x) == 201} == {(2.0, 3.0)}
    (points,) = {len(x) for x in lines} - {201}
    met = [x.max() for x in lines if len(x) == points]
    assert max(met) <= (2.5 if one_sided else 3.0) and (one_sided or max(met) > 2.5)
