"""Settings: presets, checks, and what may continue a run."""

import dataclasses
import json

import pytest

from data.families import LINEAR
from data.regression import MIXTURES, Mixture
from flags.omniglot_config import OmniglotConfig
from flags.omniglot_config import paper_settings as omniglot_settings
from mmaml_tf.config import ConfigError
from mmaml_tf.regression.config import QUICK, RegressionConfig, paper_settings
from mmaml_tf.rl.config import RlConfig
from mmaml_tf.rl.config import paper_settings as rl_settings
from registry import domains

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
    own = MIXTURES["sinusoid"].defaults
    plain = paper_settings("sinusoid", "maml", ("sinusoid",), own)
    assert (plain["inner_steps"], plain["noise_stddev"]) == (1, 0.0)


def test_a_mixtures_noise_is_its_domains(monkeypatch):
    monkeypatch.setitem(MIXTURES, "mine", Mixture([LINEAR], noise_stddev=0.1))
    assert domains()["mine"].config("mine", "maml", "paper").noise_stddev == 0.1
    noisy = domains()["regression_2mode"].domain(make(noise_stddev=0.2))
    assert noisy.tasks.noise_stddev == 0.2


def test_quick_is_the_paper_setting_with_fewer_iterations():
    assert set(QUICK) <= {"iterations", "checkpoint_every", "log_every", "eval_tasks"}
    assert make(**QUICK).iterations < make().iterations
    random = RegressionConfig.changed(dataclasses.asdict(make("random")), QUICK)
    assert (random["iterations"], random["eval_tasks"]) == (1, QUICK["eval_tasks"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(meta_batch_size=7), ["--meta_batch_size=7", "multiple of the 2 modes"]),
        (dict(meta_batch_size=0), ["--meta_batch_size=0", "1 or more"]),
        (dict(eval_tasks=0), ["--eval_tasks=0", "2 or more"]),
        (dict(eval_tasks=2), ["--eval_tasks=2", "4 or more"]),
        (dict(inner_lr=-0.1), ["--inner_lr=-0.1", "above 0"]),
        (dict(meta_lr=float("nan")), ["--meta_lr=nan", "float32"]),
        (dict(meta_lr=1e-320), ["--meta_lr=1e-320", "float32"]),  # it would be 0 there
        (dict(inner_lr=float("inf")), ["--inner_lr=inf", "float32"]),
        (dict(iterations=2**62), [f"--iterations={2**62}", "below 2^31"]),
        (dict(num_shots=2**40), [f"--num_shots={2**40}", "below 2^31"]),
        (dict(hidden_units=(8, 2**40)), [f"--hidden_units=8,{2**40}", "below 2^31"]),
        (dict(inner_steps=-1), ["--inner_steps=-1", "0 to 1000"]),
        (dict(inner_steps=10**6), ["--inner_steps=1000000", "0 to 1000"]),
        (dict(iterations=0), ["--iterations=0", "1 or more"]),
        (dict(num_shots=0), ["--num_shots=0", "1 or more"]),
        (dict(noise_stddev=-1.0), ["--noise_stddev=-1.0", "0 or more"]),
        (dict(noise_stddev=1e7), ["--noise_stddev=10000000.0", "below 1e6"]),
        (dict(hidden_units=()), ["--hidden_units=:", "100,100,100"]),
        (dict(checkpoint_every=150), ["--checkpoint_every=150", "--log_every=200"]),
        (dict(seed=2**31), ["--seed=2147483648", "below 2^31"]),
        (dict(modulation=None), ["--modulation=None", "mumomaml needs it"]),
        (dict(inner_clip_norm=-1.0), ["--inner_clip_norm=-1.0", "above 0"]),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ConfigError) as error:
        make(**settings)
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)


def test_what_a_method_does_not_look_at_is_refused():
    assert make("maml").encoder_units is None
    for field, value in (("encoder_units", 40), ("encoder", "lstm"), ("modulation", "film")):
        with pytest.raises(
            ConfigError, match=f"--{field}={value}: a setting of --method=modulation or mumomaml"
        ):
            make("maml", **{field: value})
    with pytest.raises(ConfigError, match="--encoder=None: mumomaml needs it"):
        make(encoder=None)


def test_what_earlier_versions_wrote_is_read():
    """They kept what a method does not look at, and settings that TRPO has not."""
    old = json.loads(make("maml").to_json()) | dict(encoder="lstm", encoder_units=40)
    assert RegressionConfig.upgraded(old) == json.loads(make("maml").to_json())
    older = json.loads(make("mumomaml").to_json())
    assert older.pop("head_initializer") == "glorot_uniform"
    assert RegressionConfig.upgraded(older)["head_initializer"] == "glorot_uniform"
    images = omniglot_settings("mumomaml")
    assert images.pop("head_initializer") == "zeros"
    assert OmniglotConfig.upgraded(images)["head_initializer"] == "glorot_uniform"
    policy = rl_settings("navigation_2d", "maml", ("a", "b"))
    unused = dict(meta_lr=1.0, lr_schedule="constant", meta_clip_norm=None, jit_compile=False)
    assert RlConfig(**RlConfig.upgraded(policy | unused | dict(encoder="gru")))
    with pytest.raises(TypeError, match="meta_lr"):
        RlConfig(**RlConfig.upgraded(policy | dict(meta_lr=0.5)))


def test_zero_means_no_limit():
    assert make(inner_clip_norm=0).inner_clip_norm is None


def test_differences_name_what_differs():
    assert make().differences(make(eval_tasks=10_000, eval_seed=9)) == []
    assert make().differences(make(inner_lr=0.002)) == ["inner_lr is 0.001, not 0.002"]
    assert make().differences(make(hidden_units=(8, 8))) == ["hidden_units is 100,100,100, not 8,8"]
    assert make().differences(make(iterations=80_000), trained=70_000) == []
    assert make().differences(make(iterations=10), trained=10) == []
    assert make().differences(make(iterations=10), trained=11) == ["iterations is 70000, not 10"]
    assert make().differences(make(iterations=80_000)) == ["iterations is 70000, not 80000"]
    cosine = make(lr_schedule="cosine")
    longer = dataclasses.replace(cosine, iterations=80_000)
    assert cosine.differences(longer, trained=10) == ["iterations is 70000, not 80000"]
    assert make().differences(make(eval_seed=9), allowed=("eval_tasks",)) != []
