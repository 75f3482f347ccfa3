"""The README's examples run."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.regression import MIXTURES
from examples import own_families, own_keras_model, serve
from tests.runs import TINY_FLAGS, command

ROOT = Path(__file__).resolve().parents[1]
SERVING = re.findall(
    r"```python\n(import tensorflow[^`]*?pretrained/[^`]*)```", (ROOT / "README.md").read_text()
)


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


def test_own_keras_model_is_meta_learned():
    losses = own_keras_model.main(iterations=4)
    assert len(losses) == 1
    assert np.isfinite(losses[0])


def test_own_families_are_a_domain_and_its_model_serves(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "steps_and_waves" in MIXTURES
    assert own_families.STEP.name == "step"
    arguments = ["--domain=steps_and_waves", *TINY_FLAGS, "--iterations=2", "--output_dir=run"]
    try:
        assert command(*arguments) == 0
    finally:
        del MIXTURES["steps_and_waves"]
    capsys.readouterr()
    serve.main("run/saved_model")
    assert "adapted" in capsys.readouterr().out
