"""The README's examples run."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.regression import MIXTURES
from examples import own_families, own_keras_model, serve
from mmaml_tf.layers import modulation
from tests.runs import command, tiny_flags

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SERVING = re.findall(r"```python\n(import tensorflow[^`]*?pretrained/[^`]*)```", README)


@pytest.mark.parametrize("code", SERVING)
def test_pretrained_models_serve_without_this_code(code, tmp_path):
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    apart = "import sys; assert not any(m.startswith('mmaml_tf') for m in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{code}\n{apart}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "tf.Tensor" in done.stdout


def test_the_readme_serves_every_domain_that_has_a_model():
    served = {path.parent.name for path in (ROOT / "pretrained").glob("*/saved_model")}
    assert served
    for domain in served:
        assert re.search(rf"\b{domain}\b", "".join(SERVING)), domain


def test_the_readmes_modulation_shifts_in_every_domain():
    code = re.search(r"```python\n(@register.*?)```", README, re.DOTALL)[1]
    try:
        exec(code, vars(modulation) | {"__name__": __name__})
        shift = modulation.MODULATIONS["shift"]()
    finally:
        modulation.MODULATIONS.pop("shift", None)
    tau = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    for shape in ([2, 5, 2], [2, 5, 3, 3, 2]):  # dense, convolutional
        moved = shift(tf.zeros(shape), tau)
        np.testing.assert_array_equal(moved[1, 4, ..., 1], np.full(shape[2:-1], 4.0))


def test_own_keras_model_is_meta_learned():
    losses = own_keras_model.main(iterations=4)
    assert len(losses) == 1
    assert np.isfinite(losses[0])


def test_own_families_are_a_domain_and_its_model_serves(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "steps_and_waves" in MIXTURES
    assert own_families.STEP.name == "step"
    arguments = ["--domain=steps_and_waves", *tiny_flags(), "--iterations=2", "--output_dir=run"]
    try:
        assert command(*arguments) == 0
    finally:
        del MIXTURES["steps_and_waves"]
    capsys.readouterr()
    serve.main("run/saved_model")
    assert "adapted" in capsys.readouterr().out
