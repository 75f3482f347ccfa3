"""The README's examples run."""

import numpy as np

from data.regression import MIXTURES
from examples import own_families, own_keras_model, serve
from tests.runs import TINY_FLAGS, command


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
