"""Methods through the command: resumed as if uninterrupted, evaluated, exported."""

from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf

from mmaml_tf.training import provenance
from mmaml_tf.training.run_folder import RunFolder
from tests.omniglot_fixture import write_archives
from tests.omniglot_runs import tiny_flags as tiny_omniglot
from tests.runs import command, tiny_domain, tiny_flags

pytestmark = pytest.mark.usefixtures("in_empty_folder")


def check(folder, has_steps):
    steps = pd.read_csv(f"{folder}/evaluation.csv")["step"].max()
    assert (steps > 0) == has_steps
    served = tf.saved_model.load(f"{folder}/saved_model").signatures["serving_default"]
    assert "predictions" in served.structured_outputs


@pytest.mark.parametrize("method", ["maml_plus_plus", "reptile"])  # which count iterations
def test_resumed_in_regression(method):
    """Four iterations at once, and two and two more, are the same run."""
    settings = dict(lr_schedule="constant", log_every=1, checkpoint_every=1)
    if method == "maml_plus_plus":
        settings["first_order_iterations"] = 3
    half, parts = tiny_domain(method, iterations=2, **settings), RunFolder("parts")
    with parts.claimed(half.config):
        half.train(half.build_learner(), parts)
    flags = [*tiny_flags(method), *(f"--{name}={value}" for name, value in settings.items())]
    for folder in ("whole", "parts"):
        arguments = ["--domain=regression_2mode", "--iterations=4", f"--output_dir={folder}"]
        assert command(*flags, *arguments) == 0
    assert provenance.held(parts.provenance_file)[-1]["iterations"] == 4
    whole, parts = (
        pd.read_csv(Path(name, "metrics.csv")).drop(columns="iterations_per_second")
        for name in ("whole", "parts")
    )
    pd.testing.assert_frame_equal(whole, parts)
    evaluations = [Path(name, "evaluation.csv").read_bytes() for name in ("whole", "parts")]
    assert evaluations[0] == evaluations[1]
    check("whole", has_steps=True)
    assert command("--mode=report", "--runs=whole,parts", "--output_dir=report") == 0


@pytest.mark.parametrize("method", ["in_context", "random"])
def test_in_regression(method):
    flags = [*tiny_flags(method), "--domain=regression_2mode"]
    assert command(*flags, "--output_dir=run") == 0
    check("run", has_steps=method != "in_context")


@pytest.mark.parametrize("method", ["maml_plus_plus", "reptile", "protonet", "finetune"])
def test_on_images(method, tmp_path, monkeypatch):
    monkeypatch.setattr("mmaml_tf.classification.domain.REPORTED_STEPS", 2)
    data = write_archives(tmp_path / "archives")
    flags = [*tiny_omniglot(method), "--domain=omniglot", f"--data_dir={data}"]
    flags += [] if method == "protonet" else ["--eval_steps=2", "--inner_steps=2"]
    assert command(*flags, "--output_dir=run") == 0
    check("run", has_steps=method != "protonet")
