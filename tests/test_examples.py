"""The examples run, and so does all Python in README.md and pretrained/README.md."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from data.regression import MIXTURES
from data.reinforcement import DOMAINS
from examples import own_data, own_environment, own_families, own_model, serve
from mmaml_tf.layers.fallback import one_by_one
from mmaml_tf.layers.rules import RULES
from tests.learners import make_batch
from tests.runs import command, tiny_flags

ROOT = Path(__file__).resolve().parents[1]


def blocks(file):
    return re.findall(r"```python\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)


README = blocks("README.md")
SERVING = [code for code in README + blocks("pretrained/README.md") if "saved_model.load" in code]
LIBRARY, *EXTENSIONS = [code for code in README if code not in SERVING]
MODEL, NETWORK, DATA, METHOD, ENCODER, MODULATION, RULE, ENVIRONMENT, DOMAIN = EXTENSIONS


def run(code, **names):
    """Executes a block of the README, after the imports that it names; returns what it makes."""
    made = dict(keras=keras, tf=tf, mm=mm, __name__="readme", **names)
    exec(code, made)
    return made


def trained(learner, tasks):
    """The losses of two meta-steps, by which every part of a learner has run."""
    learner.compile(optimizer="adam")
    losses = learner.fit(tasks, steps_per_epoch=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    return learner


def curves():
    return mm.tasks.from_function(own_data.decay_or_swing, num_tasks=4, num_shots=5)


def dense(activation=None):
    hidden = [keras.layers.Dense(4), activation or keras.layers.ReLU()]
    return keras.Sequential([keras.Input([1]), *hidden, keras.layers.Dense(1)])


def test_pretrained_models_serve_without_this_code(tmp_path):
    """One block after the other, each with names of its own."""
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    apart = "import sys; assert not any(m.startswith('mmaml_tf') for m in sys.modules)"
    program = "\n".join(f"exec({code!r}, {{}})" for code in [*SERVING, apart])
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tf.Tensor") >= len(SERVING)


def test_every_domain_that_has_a_model_is_served():
    served = {path.parent.name for path in (ROOT / "pretrained").glob("*/saved_model")}
    assert served
    for domain in served:
        assert re.search(rf"\b{domain}\b", "".join(SERVING)), domain


def test_the_readmes_library_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    quick, changed = re.subn(r"steps_per_epoch=200, epochs=2", "steps_per_epoch=2", LIBRARY)
    assert changed == 1
    run(quick)
    assert capsys.readouterr().out.count("[") >= 2  # a prediction and an embedding
    serve.main("saved_model")


def test_the_readmes_model_learns_from_the_readmes_data():
    learner = run(MODEL)["learner"]
    made = run(
        DATA,
        images=np.random.default_rng(0).random([60, 8, 8, 1]),
        labels=np.repeat(list("abcdef"), 10),
        sample=own_data.decay_or_swing,
    )
    episode = next(iter(made["episodes"]))
    adapted = trained(learner, made["episodes"]).adapt(*episode.support)
    assert adapted.predict(episode.query.x).shape == (16, 5, 5)
    assert next(iter(made["curves"])).support.x.shape == (50, 5, 1)


def test_the_readmes_network_is_a_choice():
    try:
        run(NETWORK)
        build = mm.networks.of("classification")["wide"].build
    finally:
        mm.networks.NETWORKS.remove("wide")
    assert build((4, 4, 1), 3, (8,), True).output_shape == (None, 3)


def test_the_readmes_method_does_not_adapt_the_last_layer():
    try:
        made = run(METHOD)
        assert mm.methods.of("classification")["boil"].learner is made["BOIL"]
    finally:
        mm.methods.METHODS.remove("boil")
    learner = trained(made["BOIL"](dense()), curves())
    ((hidden, last), *_, (hidden_after, last_after)), _ = learner.trajectory(
        make_batch().support, None, num_steps=2
    )
    assert hidden_after is not hidden and last_after is last


def test_the_readmes_encoder_does_not_mind_the_order():
    try:
        encoder = run(ENCODER)["MeanEncoder"]
        learner = trained(mm.MuMoMAML(dense(), encoder="means"), curves())
    finally:
        mm.encoders.ENCODERS.remove("means")
    assert isinstance(learner.modulator.encoder, encoder)
    x, y = make_batch().support
    turned = (part[:, ::-1] for part in (x, y))
    np.testing.assert_allclose(
        learner.adapt(x, y).embedding, learner.adapt(*turned).embedding, rtol=1e-5
    )


def test_the_readmes_modulation_shifts_in_every_domain():
    try:
        run(MODULATION)
        shift = mm.modulation.MODULATIONS["shift"]()
        trained(mm.MuMoMAML(dense(), modulation="shift"), curves())
    finally:
        mm.modulation.MODULATIONS.pop("shift", None)
    tau = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    for shape in ([2, 5, 2], [2, 5, 3, 3, 2]):  # dense, convolutional
        moved = shift(tf.zeros(shape), tau)
        np.testing.assert_array_equal(moved[1, 4, ..., 1], np.full(shape[2:-1], 4.0))


def test_the_readmes_rule_is_as_without_one():
    model = dense(keras.layers.PReLU(alpha_initializer="uniform"))
    batch = make_batch()
    plain = mm.MAML(model, inner_steps=2).after_each_step(batch.support, batch.query.x)
    try:
        run(RULE)
        learner = mm.MAML(model, inner_steps=2)
    finally:
        rule = RULES.pop(keras.layers.PReLU, None)
    assert rule is not None and rule.run is not one_by_one
    assert rule in learner.network.plan.rules
    ruled = learner.after_each_step(batch.support, batch.query.x)
    np.testing.assert_allclose(ruled.predictions, plain.predictions, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*Overriding environment Reach-v0")
def test_the_readmes_environment_is_the_examples(monkeypatch):
    example = DOMAINS["reach"]
    monkeypatch.setitem(DOMAINS, "reach", None)
    run(ENVIRONMENT, Reach=own_environment.Reach)
    assert (DOMAINS["reach"].env_id, DOMAINS["reach"].goals) == (example.env_id, example.goals)


def test_the_readmes_domain_draws_its_families():
    try:
        run(DOMAIN)
        mixture = MIXTURES["steps"]
    finally:
        MIXTURES.pop("steps", None)
    assert mixture.mode_names == ["sinusoid", "step"]
    batch = mixture.sample(mm.tasks.Draw(mm.tasks.TaskStream.TRAINING, 0, 0, 4), 5, 5)
    assert np.abs(np.abs(batch.query.y[2:]) - 1).max() < 6 * mixture.noise_stddev


@pytest.mark.parametrize(
    ("example", "sizes"), [(own_model, dict(eval_tasks=20)), (own_data, dict())]
)
def test_learning_in_an_example_runs(example, sizes, capsys):
    before, after = example.main(iterations=2, **sizes)
    assert np.isfinite([before, after]).all()
    assert "before" in capsys.readouterr().out


@pytest.mark.slow
def test_own_model_tells_new_classes_apart():
    before, after = own_model.main(iterations=200)
    assert before < 0.3 and after > 0.5  # by chance 0.2


@pytest.mark.slow
def test_own_data_is_meta_learned():
    before, after = own_data.main(iterations=1000)
    assert after < 0.6 * before


@pytest.mark.parametrize(
    ("script", "method", "flag"),
    [
        ("own_method.py", "maml", "--method=boil"),
        ("own_encoder.py", "mumomaml", "--encoder=means"),
    ],
)
def test_what_an_example_adds_is_a_choice_of_the_command(
    script, method, flag, tmp_path, monkeypatch
):
    path = ROOT / "examples" / script
    assert f"python examples/{script} {flag}" in path.read_text()
    monkeypatch.chdir(tmp_path)
    flags = ["--domain=regression_2mode", *tiny_flags(method), "--iterations=2", flag]
    monkeypatch.setattr(sys, "argv", [script, *flags])
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(path), run_name="__main__")
    finally:
        mm.methods.METHODS.remove("boil")
        mm.encoders.ENCODERS.remove("means")
    assert end.value.code == 0
    (run_folder,) = (tmp_path / "runs" / "regression_2mode").glob("*/seed0")
    assert (run_folder / "saved_model" / "saved_model.pb").exists()


def test_own_families_are_a_domain_and_its_model_serves(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "steps_and_waves" in MIXTURES
    assert own_families.STEP.name == "step"
    # It stays registered: other files' tests were collected with it.
    arguments = ["--domain=steps_and_waves", *tiny_flags(), "--iterations=2", "--output_dir=run"]
    assert command(*arguments) == 0
    capsys.readouterr()
    serve.main("run/saved_model")
    assert "adapted" in capsys.readouterr().out
