"""Settings: presets, checks, and what may continue a run."""

import dataclasses

import pytest

from mmaml_tf.config import ConfigError
from mmaml_tf.regression.config import QUICK_SETTINGS, RegressionConfig, paper_settings

MODES = ("sinusoid", "linear")


def make(method="mumomaml", **settings):
    return RegressionConfig(**(paper_settings("regression_2mode", method, MODES) | settings))


def test_paper_settings():
    """REFERENCE values: the published regression settings."""
    film, maml = make(), make("maml")
    for config in (film, maml):
        assert (config.iterations, config.meta_batch_size) == (70_000, 50)
        assert (config.inner_steps, config.inner_lr, config.meta_lr) == (5, 0.001, 0.001)
        assert (config.num_shots, config.num_queries, config.noise_stddev) == (5, 5, 0.3)
        assert config.hidden_units == (100, 100, 100)
        assert config.meta_clip_norm == 2.0
        assert config.eval_tasks >= 2_500
        assert not config.first_order
    assert (film.modulation, film.bias_transformation_size) == ("film", 0)
    assert (maml.modulation, maml.bias_transformation_size) == (None, 20)
    three = paper_settings("regression_3mode", "maml", ("a", "b", "c"))
    assert three["meta_batch_size"] == 75
    assert RegressionConfig(**(paper_settings("sinusoid", "maml", ("sinusoid",)))).inner_steps == 1


def test_quick_is_the_paper_setting_with_fewer_iterations():
    assert set(QUICK_SETTINGS) <= {"iterations", "checkpoint_every", "log_every", "eval_tasks"}
    assert make(**QUICK_SETTINGS).iterations < make().iterations


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(meta_batch_size=7), ["--meta_batch_size=7", "multiple of the 2 modes"]),
        (dict(meta_batch_size=0), ["--meta_batch_size=0", "1 or more"]),
        (dict(eval_tasks=0), ["--eval_tasks=0", "2 or more"]),
        (dict(eval_tasks=2), ["--eval_tasks=2", "4 or more"]),
        (dict(inner_lr=-0.1), ["--inner_lr=-0.1", "above 0"]),
        (dict(meta_lr=float("nan")), ["--meta_lr=nan", "above 0"]),
        (dict(inner_steps=-1), ["--inner_steps=-1", "0 or more"]),
        (dict(iterations=0), ["--iterations=0", "1 or more"]),
        (dict(num_shots=0), ["--num_shots=0", "1 or more"]),
        (dict(noise_stddev=-1.0), ["--noise_stddev=-1.0", "0 or more"]),
        (dict(hidden_units=()), ["--hidden_units=()", "100,100,100"]),
        (dict(checkpoint_every=150), ["--checkpoint_every=150", "--log_every=200"]),
        (dict(seed=2**31), ["--seed=2147483648", "below 2^31"]),
        (dict(modulation=None), ["--modulation=None", "mumomaml needs one"]),
        (dict(inner_clip_value=10.0), ["--inner_clip_value=10.0", "materialised"]),
        (dict(inner_clip_norm=-1.0), ["--inner_clip_norm=-1.0", "above 0"]),
        (dict(method="protonet"), ["--method=protonet", "maml, multi_maml, mumomaml"]),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ConfigError) as error:
        make(**settings)
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)


def test_modulation_with_maml_is_an_error():
    with pytest.raises(ConfigError, match="--modulation=film: only --method=mumomaml modulates"):
        make("maml", modulation="film")


def test_json_round_trip():
    assert RegressionConfig.from_json(make().to_json()) == make()


def test_zero_means_no_limit():
    assert make(inner_clip_norm=0).inner_clip_norm is None


def test_differences_name_what_differs():
    assert make().differences(make(eval_tasks=10_000, eval_seed=9)) == []
    assert make().differences(make(inner_lr=0.002)) == ["inner_lr is 0.001, not 0.002"]
    assert make().differences(dataclasses.replace(make(), iterations=80_000)) == []
    assert make().differences(make(iterations=10)) == ["iterations is 70000, not 10"]
    cosine = make(lr_schedule="cosine")
    assert cosine.differences(dataclasses.replace(cosine, iterations=80_000)) != []
