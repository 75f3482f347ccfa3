"""What the command says of its flags: help, and one line for each mistake."""

import re
import subprocess
import sys

import pytest

import registry
from flags.common import FLAGS
from tests.runs import SCRIPT, command, tiny_flags

BASE = ["--domain=regression_2mode", *tiny_flags()]
MAML = ["--domain=regression_2mode", *tiny_flags("maml")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no_such_flag=1"], ["no_such_flag"]),
        (
            [*MAML, "--method=protonet"],
            [
                "--method=protonet",
                "maml, maml_plus_plus, meta_sgd, modulation",
            ],
        ),
        (["--domain=imagenet"], ["--domain=imagenet", "regression_2mode"]),
        ([], ["--domain=", "regression_2mode"]),
        (["stray"], ["stray"]),
        (["--iterations=many", *BASE[:1]], ["--iterations=many"]),
        ([*BASE, "--meta_batch_size=7"], ["--meta_batch_size=7", "2 modes"]),
        ([*MAML, "--modulation=film"], ["--modulation=film", "mumomaml"]),
        ([*BASE, "--modulation=gating"], ["--modulation=gating", "film, sigmoid, softmax"]),
        ([*MAML, "--encoder=pairs"], ["--encoder=pairs", "mumomaml"]),
        ([*BASE, "--encoder=gru"], ["--encoder=gru", "lstm, pairs"]),
        (
            [*MAML, "--method=magic"],
            ["--method=magic", "maml, maml_plus_plus, meta_sgd, modulation"],
        ),
        (
            [*BASE, "--hidden_units=8,wide"],
            ["--hidden_units=8,wide", "must be widths, such as"],
        ),
        ([*BASE, "--eval_tasks=0"], ["--eval_tasks=0"]),
        ([*BASE, "--inner_lr=-1"], ["--inner_lr=-1"]),
        ([*MAML, "--encoder_units=3"], ["--encoder_units=3", "mumomaml"]),
        ([*BASE, "--runs=a,b"], ["--runs=a,b", "goes with --mode=report"]),
        (["--mode=report", "--runs=a", "--seed=1"], ["--seed=1", "train or evaluate or export"]),
        (["--mode=report", "--runs=a", "--method=maml"], ["--method=maml", "--mode=train"]),
        (["--mode=report", "--runs=a", "--domain=sinusoid"], ["--domain=sinusoid", "--runs"]),
        (["--mode=report", "--runs="], ["--runs=", "empty"]),
        (["--mode=evaluate", *MAML, "--preset=quick"], ["--preset=quick", "--mode=train"]),
        (["--mode=evaluate", *MAML, "--overwrite"], ["--overwrite=True", "--mode=train"]),
        ([*BASE, "--num_shots=1000000000"], ["--num_shots=1000000000", "of memory", "lower it"]),
        ([*BASE, f"--eval_tasks={2**62}"], [f"--eval_tasks={2**62}", "below 2^31"]),
        ([*BASE, "--meta_lr=1e-320"], ["--meta_lr=1e-320", "float32"]),
        (["--mode=report", "--domain=sinusoid"], ["no evaluated run"]),
        (["--mode=report", "--runs=nowhere"], ["nowhere", "no run"]),
        (["--mode=evaluate", "--domain=sinusoid"], ["runs/sinusoid", "no run"]),
        (["--mode=export", "--output_dir=gone"], ["gone", "no run"]),
    ],
)
def test_bad_input_is_one_line(arguments, words, capsys, in_empty_folder):
    assert command(*arguments) != 0
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    assert message.startswith("run_experiment: ")
    assert all(word in message for word in words), message
    assert not list(in_empty_folder.iterdir())  # nothing was written


def test_help_lists_the_flags_and_the_domains(capsys):
    assert command("--help") == 0
    text = capsys.readouterr().out
    listed = set(re.findall(r"\w+", text))
    assert registry.domains().keys() <= listed
    assert {"maml", "multi_maml", "mumomaml", "oracle", "film", "softmax"} <= listed
    ours = {
        name
        for module, flags in FLAGS.flags_by_module_dict().items()
        if module.startswith("flags.")
        for name in (flag.name for flag in flags)
    }
    assert {"preset", "num_shots", "num_ways", "image_sets", "rollouts"} <= ours
    missing = [name for name in sorted(ours) if not re.search(rf"--(\[no\])?{name}:", text)]
    assert not missing


def test_bad_flags_fail_before_tensorflow_loads():
    probe = (
        "import sys, run_experiment\n"
        "status = run_experiment.main(['x', '--methd=maml'])\n"
        "assert 'tensorflow' not in sys.modules\n"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=SCRIPT.parent, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "methd" in done.stderr
    assert "Traceback" not in done.stderr
