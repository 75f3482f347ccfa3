"""Tiny regression runs that the tests train through the library or the command."""

import signal
import subprocess
import sys
from pathlib import Path

import registry
import run_experiment
from data.regression import MIXTURES
from flags.common import FLAGS
from mmaml_tf import methods
from mmaml_tf.config import shown
from mmaml_tf.regression.config import RegressionConfig, paper_settings

SCRIPT = Path(run_experiment.__file__)
TINY = dict(
    iterations=30,
    meta_batch_size=4,
    inner_steps=2,
    inner_lr=0.01,
    log_every=10,
    checkpoint_every=10,
    eval_tasks=40,
    hidden_units=(8, 8),
    encoder_units=3,
)


def as_flags(config_type, settings, method):
    """The command's flags for a method and settings, but for those that the method has not."""
    own = config_type.for_method(settings | dict(method=method))
    is_trained = methods.of(config_type.KIND)[method].is_trained
    ignored = () if is_trained else config_type.TRAINING
    return [f"--method={method}"] + [
        f"--{name}={shown(own[name])}"
        for name in settings
        if own[name] is not None and name not in ignored
    ]


def tiny_flags(method="mumomaml"):
    """A regression run that trains in seconds."""
    return as_flags(RegressionConfig, TINY, method)


def tiny_domain(method="mumomaml", name="regression_2mode", **settings):
    """A regression domain that trains in seconds."""
    mixture = MIXTURES[name]
    paper = paper_settings(name, method, tuple(mixture.mode_names), mixture.defaults)
    chosen = RegressionConfig.for_method(paper | TINY | settings)
    return registry.find(name).build(RegressionConfig(**chosen))


def command(*arguments):
    """Runs the command in this process; returns its exit status."""
    for name in FLAGS:
        FLAGS[name].unparse()
    return run_experiment.main(["run_experiment.py", *arguments])


def start_command(*arguments, cwd):
    """Starts the command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests may run under nohup, where it is ignored and stays so.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
