"""A step exported as StableHLO, trained by JAX without TensorFlow, and taken back into its run."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mmaml_tf.errors import RunError
from mmaml_tf.training import fit, provenance
from mmaml_tf.training.run_folder import RunFolder
from portable.export import export, state_variables
from portable.step_folder import StepFolder
from portable.take_back import take_back
from portable.train import train as train_step
from tests.omniglot_fixture import write_archives
from tests.omniglot_runs import tiny_domain, train
from tests.runs import SCRIPT
from tests.runs import tiny_domain as regression_domain

ROOT = SCRIPT.parent
SETTINGS = dict(meta_lr=0.01, log_every=2, checkpoint_every=2)


pytestmark = pytest.mark.usefixtures("in_empty_folder")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_archives(tmp_path_factory.mktemp("omniglot"))


def run_module(name, *arguments):
    command = [sys.executable, "-m", f"portable.{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_trained_elsewhere_equals_trained_here(data_dir, tmp_path):
    expected, whole = train(data_dir, tmp_path / "whole", iterations=6, **SETTINGS)
    train(data_dir, tmp_path / "parts", iterations=2, **SETTINGS)
    longer = tiny_domain(data_dir, iterations=6, **SETTINGS)
    parts, step = RunFolder(tmp_path / "parts"), StepFolder(tmp_path / "step")
    parts.keep(longer.config)
    assert export(parts, step) == 2
    done = run_module("train", step.path)
    assert done.returncode == 0 and "at iteration 6 of 6" in done.stdout, done.stderr
    refused = {p: p.read_bytes() for p in parts.path.rglob("*") if p.is_file()}
    state = step.read_arrays(step.state)
    weight = next(index for index, value in state.items() if value.dtype == np.float32)
    step.write_arrays(step.state, state | {weight: np.full_like(state[weight], np.nan)})
    with pytest.raises(RunError, match="not all finite"):
        take_back(parts, step)
    step.write_arrays(step.state, state)
    described = step.read(step.description)
    slower = described | {"config": described["config"] | {"inner_lr": 0.01}}
    step.write(step.description, slower)
    with pytest.raises(RunError, match="inner_lr is 0.01, not"):
        take_back(parts, step)
    step.write(step.description, described)
    progress = step.read(step.progress)
    first, *rest = progress["rows"]
    for file, content, words in (
        (step.progress, progress | dict(rows=[first | dict(loss="low"), *rest]), "loss is 'low'"),
        (step.progress, progress | dict(rows=[]), "rows is"),
        (step.progress, progress | dict(rows=[*rest, first]), "do not ascend"),
        (step.progress, progress | dict(rows=[{"iteration": 4}]), "entry 1 loss is missing"),
        (step.progress, {"rows": progress["rows"]}, "starts is missing"),
        (step.progress, progress | dict(starts=[{"seconds": "x"}]), "entry 1 command is missing"),
        (step.description, {k: v for k, v in described.items() if k != "score"}, "score is miss"),
    ):
        step.write(file, content)
        with pytest.raises(RunError, match=words):
            take_back(parts, step)
        file.write_text(file.read_text()[:40])
        with pytest.raises(RunError, match="no JSON"):
            take_back(parts, step)
        step.write(step.progress, progress)
        step.write(step.description, described)
    whole_state = step.state.read_bytes()
    for content in (b"", whole_state[: len(whole_state) // 2]):
        step.state.write_bytes(content)
        with pytest.raises(RunError, match="state.npz holds no arrays"):
            take_back(parts, step)
    wider = state | {weight: np.zeros([*state[weight].shape, 2], np.float32)}
    for arrays in ({0: state[0]}, wider):
        step.write_arrays(step.state, arrays)
        with pytest.raises(RunError, match="state.npz is of another network"):
            take_back(parts, step)
    learner = longer.build_learner()
    place = [*map(id, state_variables(learner))].index(id(learner.optimizer.iterations))
    for number in (5, 500):
        step.write_arrays(step.state, state | {place: np.array(number)})
        with pytest.raises(RunError, match=f"is of iteration {number}, which is none that was"):
            take_back(parts, step)
    weight = next(i for i, array in state.items() if array.dtype.kind == "f" and array.ndim)
    for value in ("x", 1e300):
        step.write_arrays(step.state, state | {weight: np.full(state[weight].shape, value)})
        with pytest.raises(RunError, match="weights are not all finite numbers"):
            take_back(parts, step)
    step.state.write_bytes(whole_state)
    assert refused == {p: p.read_bytes() for p in parts.path.rglob("*") if p.is_file()}
    for name in ("ckpt-6.index", "ckpt-6.data-00000-of-00001"):  # as a full disk may leave it
        (parts.checkpoints / name).write_bytes(b"")
    assert take_back(parts, step) == 6
    assert (parts.checkpoints / "damaged-1-ckpt-6.index").exists()
    columns = ["iteration", "loss", "support_loss"]
    pd.testing.assert_frame_equal(
        *(pd.read_csv(f.metrics.path)[columns] for f in (whole, parts)), rtol=1e-4
    )
    # An image of the few here can change sides.
    accuracies = [f.metrics.column("validation_accuracy") for f in (whole, parts)]
    np.testing.assert_allclose(*accuracies, atol=0.1)
    learner = longer.build_learner()
    fit.restore(learner, parts)
    fresh = [variable.numpy() for variable in longer.build_learner().trainable_variables]
    trained = [variable.numpy() for variable in learner.trainable_variables]
    moved = max(np.abs(a - b).max() for a, b in zip(trained, fresh, strict=True))
    for mine, theirs in zip(learner.trainable_variables, expected.trainable_variables, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=0.02 * moved)
    last = provenance.held(parts.provenance_file)[-1]
    assert last["iterations"] == 6 and "portable.train" in last["command"]
    # The run goes on from there: nothing is left to train.
    longer.train(longer.build_learner(), parts)
    with pytest.raises(RunError, match="iteration is 2, not 6"):
        take_back(parts, step)
    with pytest.raises(RunError, match="was trained"):
        export(parts, step)


def step_folder(path, scores=(), best=None, over=2):
    """A step of one variable, the iteration, and one constant."""
    folder = StepFolder(path)
    folder.path.mkdir()
    folder.program.write_bytes(b"")
    folder.write_arrays(folder.constants, {1: np.array([7.0])})
    folder.write_arrays(folder.state, {0: np.array(10), 1: np.array(5)})  # 1 is not in the program
    folder.write(
        folder.description,
        dict(iteration=10, iterations=20, log_every=2, score="accuracy", over=over)
        | dict(scores=list(scores), best=best, iterations_variable=0, inputs=[0, None]),
    )
    return folder


def program_of(scores, losses=None):
    """Counts iterations; returns these scores (and losses) call by call."""
    losses = iter(losses or [1.0] * len(scores))
    scores = iter(scores)

    def program(arguments):
        iteration, constant = arguments
        assert float(constant[0]) == 7.0
        return [next(losses), 2.0, next(scores)], [iteration + 2, constant]

    return lambda stablehlo: program


def test_the_best_recent_mean_is_kept_over_stops_and_starts(tmp_path):
    folder = step_folder(tmp_path / "step", scores=[0.1, 0.6], best=0.5)
    assert train_step(folder, program_of([]), {"start": 1}, seconds=0) == 10
    assert train_step(folder, program_of([0.2, 0.9, 0.7, 0.8, 0.3]), {"start": 2}) == 20
    progress = folder.read(folder.progress)
    assert [row["iteration"] for row in progress["rows"]] == [12, 14, 16, 18, 20]
    recent = [row["recent"] for row in progress["rows"]]
    np.testing.assert_allclose(recent, [0.4, 0.55, 0.8, 0.75, 0.55])
    assert int(folder.read_arrays(folder.best)[0]) == 16
    state = folder.read_arrays(folder.state)
    assert int(state[0]) == 20 and int(state[1]) == 5
    assert [start["start"] for start in progress["starts"]] == [2]


def test_a_loss_that_is_not_finite_leaves_the_state_before_it(tmp_path):
    folder = step_folder(tmp_path / "step")
    with pytest.raises(FloatingPointError, match="after iteration 12"):
        train_step(folder, program_of([0.2, 0.3], [1.0, np.nan]), {})
    assert int(folder.read_arrays(folder.state)[0]) == 12
    assert len(folder.read(folder.progress)["rows"]) == 1


def test_a_row_that_the_state_does_not_know_is_trained_again(tmp_path):
    folder = step_folder(tmp_path / "step")
    train_step(folder, program_of([0.1] * 5), {})
    folder.write_arrays(folder.state, {0: np.array(18), 1: np.array(5)})
    train_step(folder, program_of([0.4]), {})
    rows = folder.read(folder.progress)["rows"]
    assert [row["iteration"] for row in rows] == [12, 14, 16, 18, 20]
    assert rows[-1]["score"] == 0.4


def test_what_cannot_be_exported_or_taken_back_is_said(tmp_path, monkeypatch, capsys):
    domain, done = regression_domain("maml", iterations=2), RunFolder(tmp_path / "done")
    with done.claimed(domain.config):
        domain.train(domain.build_learner(), done)
    with pytest.raises(RunError, match="2 of 2"):
        export(done, StepFolder(tmp_path / "step"))
    for name, arguments, words in (
        ("export", (tmp_path / "none", tmp_path / "step"), "no run"),
        ("train", (tmp_path / "none",), "no exported step"),
        ("take_back", (done.path, tmp_path / "none"), "no exported step"),
    ):
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        assert importlib.import_module(f"portable.{name}").main() == 1
        message = capsys.readouterr().err
        assert message.startswith(f"{name}: ") and words in message, message
        assert message.count("\n") == 1


def test_a_run_without_validation_is_exported_too(tmp_path):
    settings = dict(method="maml", log_every=2, checkpoint_every=2)
    run, step = RunFolder(tmp_path / "run"), StepFolder(tmp_path / "step")
    domain = regression_domain(iterations=2, **settings)
    run.path.mkdir()
    domain.train(domain.build_learner(), run)
    run.keep(regression_domain(iterations=4, **settings).config)
    assert export(run, step) == 2
    assert json.loads(step.description.read_text())["score"] is None


def test_a_run_in_use_takes_nothing_back(tmp_path):
    domain, run = regression_domain("maml", iterations=2, log_every=2), RunFolder(tmp_path / "run")
    step = step_folder(tmp_path / "step")
    train_step(step, program_of([0.1] * 5), {})
    step.write(step.description, dict(iteration=2, score=None, config={}))
    step.write(step.progress, step.read(step.progress) | dict(starts=[]))
    run.path.mkdir()
    run.keep(domain.config)
    hold = "import sys; from mmaml_tf.training.run_folder import RunFolder\n"
    hold += "with RunFolder(sys.argv[1]).locked(): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(run.path)]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    with subprocess.Popen(command, **pipes) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"in use by process {holder.pid}"):
            take_back(run, step)
        holder.stdin.close()


def test_the_part_that_trains_needs_no_tensorflow():
    for file in ("train", "step_folder", "jax_program"):
        text = (ROOT / "portable" / f"{file}.py").read_text()
        for package in ("tensorflow", "keras", "mmaml_tf", "run_experiment", "flags"):
            assert f"import {package}" not in text and f"from {package}" not in text
