"""The scripts in benchmarks/ run: small, and in this process."""

import runpy
import sys
from pathlib import Path

import pytest
import tensorflow as tf

ROOT = Path(__file__).parents[1]
SMALL = {
    "methods": ("--rounds=1 --steps=1 --methods anil:inner_steps=1", "anil:inner_steps=1: "),
    "bayes_floor": (
        "--num_tasks=400 --draws=100 --checkpoint=pretrained/regression_2mode/maml-seed0",
        "maml-seed0",
    ),
    "episode_ends": ("pretrained/maml_navigation/maml-seed0 --tasks=4 --steps=1", "log sigma"),
    "encoder_modes": ("--domain=navigation_2d_wide --num_tasks=40", "accuracy"),
    "rl_iteration": ("--repeats=1 --meta_batch_size=2 --rollouts=2", "TRPO update: "),
    "percentiles": (
        "--checkpoint=pretrained/regression_2mode/maml-seed0 --gradient_tasks=600 --eval_tasks=600",
        "percentile",
    ),
    "env_rate": ("--num_envs=4 --repeats=1", " steps/s"),
    "reachability": ("--iterations=1", "(still "),
    "conv_step": ("--rounds=1 --steps=1 --variants maml", "sampling: "),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", SMALL)
def test_it_runs(script, monkeypatch, capsys):
    arguments, printed = SMALL[script]
    path = ROOT / "benchmarks" / f"{script}.py"
    monkeypatch.setattr(sys, "argv", [str(path), *arguments.split()])
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    monkeypatch.chdir(ROOT)
    # Threads can't be set where TensorFlow runs already.
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", lambda number: 0)
    runpy.run_path(str(path), run_name="__main__")
    assert printed in capsys.readouterr().out
