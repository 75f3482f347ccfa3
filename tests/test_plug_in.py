"""A method, a task encoder, a modulation and a mixture of one's own: one file each, one command."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from tests.runs import SCRIPT, tiny_flags

METHOD = '''
"""MuMoMAML that is adapted by half of its steps."""
import tensorflow as tf
import mmaml_tf as mm

@mm.methods.register("halfway", "regression")
class Halfway(mm.MuMoMAML):
    PUBLISHED = {"regression": dict(meta_clip_norm=1.5)}

    def trajectory(self, support, tau, num_steps, mode=None):
        halfway, losses = super().trajectory(support, tau, num_steps // 2, mode)
        return halfway + halfway[-1:] * (num_steps - num_steps // 2), losses
'''
ENCODER = """
import keras
import mmaml_tf as mm

@mm.encoders.register("means", "regression")
class Means(keras.layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.dense = keras.layers.Dense(units)

    def call(self, x, y):
        return self.dense(keras.ops.mean(keras.ops.concatenate([x, y], -1), 1))
"""
MODULATION = """
import tensorflow as tf
import mmaml_tf as mm

@mm.modulation.register("shift")
class Shift(mm.AffineModulation):
    def affine(self, tau):
        return tf.ones_like(tau), tau
"""
MIXTURE = """
import tensorflow as tf
from data.families import SINUSOID, Family
from data.priors import Uniform
from data.regression import MIXTURES, Mixture

STEP = Family("step", lambda x, at: tf.sign(x - at), {"at": Uniform(-3.0, 3.0)})
MIXTURES["steps_and_waves"] = Mixture([SINUSOID, STEP])
"""
RUN = """
import sys
import run_experiment
sys.exit(run_experiment.main())
"""
CASES = {
    "method": (METHOD, ["--method=halfway"], "regression_2mode/halfway-film"),
    "encoder": (ENCODER, ["--encoder=means"], "regression_2mode/mumomaml-film"),
    "modulation": (MODULATION, ["--modulation=shift"], "regression_2mode/mumomaml-shift"),
    "mixture": (MIXTURE, ["--domain=steps_and_waves"], "steps_and_waves/mumomaml-film"),
}


def run(folder, *flags):
    paths = [str(SCRIPT.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "mine.py", *flags],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("what", CASES)
def test_one_file_makes_it_a_choice_of_the_command(tmp_path, what):
    code, chosen, folder = CASES[what]
    (tmp_path / "mine.py").write_text(code + RUN)
    flags = ["--domain=regression_2mode", *tiny_flags(), "--iterations=2", *chosen]
    done = run(tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "runs" / folder / "seed0"
    assert pd.read_csv(made / "metrics.csv")["iteration"].tolist() == [2]
    assert (made / "saved_model" / "saved_model.pb").exists()
    limit = json.loads((made / "config.json").read_text())["meta_clip_norm"]
    assert limit == (1.5 if what == "method" else 2.0)  # its own, and the domain's


def test_help_lists_them(tmp_path):
    (tmp_path / "mine.py").write_text("".join(code for code, _, _ in CASES.values()) + RUN)
    listed = run(tmp_path, "--help").stdout.split("--domain and the")[1]
    for _, (flag,), _ in CASES.values():
        assert flag.partition("=")[2] in listed
