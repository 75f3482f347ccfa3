"""`tools.reproduce`: what it plans, that a failure stops nothing else, and a whole tiny table."""

import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from mmaml_tf.errors import RunError
from mmaml_tf.reporting.evaluation import write_evaluation
from tests.runs import tiny_domain, tiny_flags
from tools import pack, places, plan, regenerate, reproduce, rows, side_by_side
from tools.plan import Plan, Run, State
from tools.row import Place, Row, Table
from tools.side_by_side import Step, run_all

ROOT = Path(__file__).resolve().parents[1]
PLACE = Place("regression_2mode")
ROW = Row("MAML", "maml", flags=tuple(tiny_flags("maml")[1:]))
TRAINING = ROW.at(PLACE)
CONFIG = tiny_domain("maml").config


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty folder in which the tools keep what they make, with one tiny row."""
    monkeypatch.setattr(places, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "README.md").touch()
    (tmp_path / "README.md").write_text("<!-- regression -->\n\n<!-- end -->\n")
    monkeypatch.setattr(rows, "TABLES", {"regression": Table((PLACE,), (ROW,))})
    return tmp_path


def fabricate(folder, iteration, config=CONFIG, evaluated=True, seconds=60.0):
    """What a training leaves, without one."""
    folder.path.mkdir(parents=True)
    folder.keep(config)
    folder.checkpoints.mkdir()
    (folder.checkpoints / f"ckpt-{iteration}.index").touch()
    folder.metrics.append({"iteration": iteration, "loss": 1.0})
    start = dict(command="python x", commit=None, started="now", cores=1, devices=["CPU"])
    start |= dict(python="3", versions={}, iterations=iteration, seconds=seconds)
    folder.provenance_file.write_text(json.dumps([start]))
    if evaluated:
        evaluate(folder)


def evaluate(folder, mean=1.0):
    folder.path.mkdir(parents=True, exist_ok=True)
    row = dict(step=0, mode="all", metric="mse", mean=mean, ci95=0.1, num_tasks=40)
    write_evaluation(folder, pd.DataFrame([row]), {})


def test_every_row_names_the_folder_that_its_command_makes(monkeypatch):
    monkeypatch.undo()
    for table in rows.TABLES.values():
        for _, _, training in table.trainings():
            run = Run(training, seed=3)
            config = run.config()
            assert config.label == training.plain and config.seed == 3
            plain = f"runs/{config.domain}/{config.label}/seed3"
            assert (run.path == plain) == (not training.variant)


def test_what_is_kept_is_of_its_rows_settings(monkeypatch):
    monkeypatch.undo()
    made = {}
    for table in rows.TABLES.values():
        for _, _, training in table.trainings():
            for evaluation in ("", *training.evaluations):
                run = Run(training, 0, evaluation)
                made[training.domain, run.name.removesuffix("-seed0")] = run
    folders = [path.parent for path in ROOT.glob("pretrained/*/*/config.json")]
    assert folders
    for folder in folders:
        label, _, seed = folder.name.rpartition("-seed")
        found = plan.planned(dataclasses.replace(made[folder.parent.name, label], seed=int(seed)))
        assert found.state is State.KEPT
        assert ";" not in found.note and (not found.note or found.note.endswith(" iterations"))


def test_the_plan_tells_missing_cut_trained_and_kept_runs_apart():
    run = Run(TRAINING, 0)
    assert plan.planned(run) == Plan(run, State.MISSING, 0, 30)
    fabricate(run.folder, 20, evaluated=False)
    assert plan.planned(run) == Plan(run, State.CUT, 20, 30)
    shutil.rmtree(run.folder.path)
    fabricate(run.folder, 30, evaluated=False)
    assert plan.planned(run).state is State.CUT  # its command has the evaluation left
    evaluate(run.folder)
    assert plan.planned(run) == Plan(run, State.TRAINED, 30, 30)
    fabricate(run.kept, 30)
    assert plan.planned(run).state is State.TRAINED  # its evaluation is not
    evaluate(run.results)
    assert plan.planned(run) == Plan(run, State.KEPT, 30, 30)
    assert plan.planned(run, unkept=True).state is State.TRAINED


def test_a_kept_run_that_is_short_or_another_is_done_again_if_asked():
    run = Run(TRAINING, 0)
    fabricate(run.kept, 20, tiny_domain("maml", inner_lr=0.5).config)
    evaluate(run.results)
    found = plan.planned(run)
    assert found.state is State.KEPT
    assert found.note == "inner_lr is 0.5, not 0.01; 20 of 30 iterations"
    assert plan.planned(run, again=True) == Plan(run, State.MISSING, 0, 30)
    run.kept.metrics.path.unlink()
    with pytest.raises(RunError, match="metrics.csv has no rows"):
        plan.planned(run)


def test_time_is_that_of_earlier_runs_by_iterations():
    run, other = Run(TRAINING, 1), Run(TRAINING, 0)
    assert plan.planned(run).seconds() is None
    fabricate(other.kept, 15, seconds=60.0)
    assert plan.planned(run).seconds() == 120.0
    assert plan.planned(run).seconds(on_gpu=True) is None
    fabricate(run.folder, 10, evaluated=False, seconds=10.0)  # its own says more
    assert plan.planned(run).seconds() == 20.0
    assert plan.wall_time([3.0, 2.0, 2.0], 2) == 4.0
    jobs = [[plan.planned(run)], [plan.planned(Run(TRAINING, 2))]]
    assert reproduce.remaining(jobs, 1, on_gpu=False) == "0:50"
    starts = [
        dict(cores=1, iterations=10, seconds=5.0),
        dict(cores=None, iterations=30, seconds=2.0),
    ]
    assert plan.pace([[], starts]) == 0.5 and plan.pace([[], starts], on_gpu=True) == 0.1


def test_evaluations_need_the_run_folder():
    row = Row("MAML", "maml", flags=ROW.flags, evaluations={"k9": ("--eval_shots=9",)})
    training = row.at(PLACE)
    first, more = Run(training, 0), Run(training, 0, "k9")
    assert more.name == "maml-k9-seed0" and more.path.endswith("maml/k9_seed0")
    fabricate(first.kept, 30)
    evaluate(first.results)
    job = reproduce.planned_job([first, more], again=False)
    assert [part.state for part in job] == [State.MISSING, State.MISSING]
    evaluate(more.results)
    fabricate(more.kept, 30)
    job = reproduce.planned_job([first, more], again=False)
    assert [part.state for part in job] == [State.KEPT, State.KEPT]


def test_tables_and_rows_are_chosen_by_name(capsys):
    assert reproduce.main(["regression", "--rows=mumo*", "--dry_run"]) == 1
    assert "no row of these tables" in capsys.readouterr().err
    assert reproduce.main(["figure_1", "--dry_run"]) == 1
    assert "choose from regression, regression_2mode" in capsys.readouterr().err
    assert reproduce.main(["regression_2mode", "--seeds=2", "--rows=m*", "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "missing regression_2mode/maml-seed1  0 of 30 iterations  unknown left" in out
    assert "2 of unknown length" in out
    with pytest.raises(SystemExit):
        reproduce.main(["regression", "--seeds=0"])


def step(name, code, folder):
    return Step(name, [sys.executable, "-c", code], folder / f"{name}.log")


def test_a_failing_command_stops_only_what_follows_it(root):
    jobs = [
        [step("bad", "import sys; print('nan'); sys.exit(3)", root), step("next", "", root)],
        [step("good", "open('good', 'w')", root), step("better", "open('better', 'w')", root)],
    ]
    jobs.append([Step("nowhere", [str(root / "no program")], root / "nowhere.log")])
    failed = run_all(jobs, 2, root, lambda *_: "")
    assert failed.pop("bad") == "exit status 3: nan"
    assert "no program" in failed.pop("nowhere") and not failed
    assert (root / "good").exists() and (root / "better").exists()


def test_jobs_run_side_by_side(root):
    wait = """
import pathlib, time
pathlib.Path('{0}').touch()
while not pathlib.Path('{1}').exists():
    time.sleep(0.05)
"""
    jobs = [[step(a, wait.format(a, b), root)] for a, b in (("x", "y"), ("y", "x"))]
    assert run_all(jobs, 2, root, lambda *_: "") == {}


def test_an_interrupt_is_passed_on_and_waited_for(root):
    child = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(0.5); pathlib.Path('saved').touch(); sys.exit(130)
signal.signal(signal.SIGTERM, save)
pathlib.Path('ready').touch()
time.sleep(60)
"""
    parent = f"""
import pathlib, sys
from tools.side_by_side import Step, run_all
root = pathlib.Path({str(root)!r})
try:
    step = Step('child', [sys.executable, '-c', {child!r}], root / 'log')
    run_all([[step]], 1, root, lambda *_: '')
except KeyboardInterrupt:
    sys.exit(77 if (root / 'saved').exists() else 1)
"""
    # As a background shell starts it: with SIGINT ignored.
    program = subprocess.Popen(
        [sys.executable, "-c", parent],
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    deadline = time.monotonic() + 30
    while not (root / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(program.pid, signal.SIGINT)
    assert program.wait(30) == 77


@pytest.mark.parametrize(("iteration", "is_done"), [(20, False), (30, True)])
def test_a_run_that_fails_is_reported_and_the_exit_status_says_so(
    root, monkeypatch, capsys, iteration, is_done
):
    other = Run(TRAINING, 0).folder  # a run of other settings stands in the way of seed 0
    fabricate(other, iteration, tiny_domain("maml", inner_lr=0.5).config, evaluated=is_done)
    monkeypatch.setattr(side_by_side, "LOG_EVERY", 0.0)
    kept = []
    monkeypatch.setattr(reproduce, "keep_all", lambda *_: kept.append(True) or {})
    assert reproduce.main(["regression"]) == 1
    out, err = capsys.readouterr()
    assert "regression_2mode/maml-seed0 failed: exit status 1" in err
    assert f"0 of 1 ended, 0 failed; regression_2mode/maml-seed0 {iteration}/30" in out
    assert kept


def test_figures_that_fail_are_reported_beside_the_rest(monkeypatch):
    def broken(domains):
        raise RunError("config.json is no JSON")

    fabricate(Run(TRAINING, 0).folder, 30)
    (job,) = reproduce.chosen_runs(["regression"], ["*"], 1, plan.PAPER)
    jobs = [reproduce.planned_job(job, again=False)]
    monkeypatch.setattr(pack, "pack", lambda *_, **__: None)
    monkeypatch.setattr(regenerate, "regenerate_all", broken)
    failed = reproduce.keep_all(jobs, False, False)
    assert failed == {"tables and figures": "config.json is no JSON"}


def test_a_further_evaluation_is_of_the_same_weights():
    row = dataclasses.replace(ROW, evaluations={"k9": ("--eval_shots=9",)})
    first, more = (Run(row.at(PLACE), 0, name) for name in ("", "k9"))
    fabricate(first.folder, 30)
    (made,) = reproduce.steps(reproduce.planned_job([first, more], again=False))
    made.prepare()
    assert more.folder.kept_iteration() == 30 and not more.folder.evaluation_file.exists()
    assert "--eval_shots=9" in made.command


def test_a_presets_runs_have_its_own_length_and_tasks():
    row = dataclasses.replace(ROW, flags=("--iterations=30", "--eval_tasks=10000"))
    *flags, folder = Run(row.at(PLACE), 0, preset="quick").flags
    assert not [flag for flag in flags if flag.startswith(("--iterations", "--eval_tasks"))]
    assert folder == "--output_dir=runs/quick/regression_2mode/maml-seed0"


def test_the_weights_of_one_seed_are_packed(root, monkeypatch):
    packed = {}

    def record(source, name, record, force):
        packed[name] = "record" if record else "weights"

    monkeypatch.setattr(pack, "pack", record)
    runs = [Run(TRAINING, seed) for seed in range(3)]
    for run, mean in zip(runs[1:], (2.0, 1.0), strict=True):
        fabricate(run.folder, 30, tiny_domain("maml", seed=run.seed).config)
        evaluate(run.folder, mean)
    reproduce.keep(runs, is_best_packed=False, again=False)
    assert packed == {"maml-seed1": "record", "maml-seed2": "weights"}
    fabricate(runs[0].kept, 30)
    evaluate(runs[0].results, 1.5)
    reproduce.keep(runs, is_best_packed=False, again=False)
    assert packed == {"maml-seed1": "record", "maml-seed2": "record"}
    assert runs[0].kept.checkpoints.exists()
    reproduce.keep(runs, is_best_packed=True, again=False)
    assert packed == {"maml-seed1": "record", "maml-seed2": "weights"}
    assert not runs[0].kept.checkpoints.exists()
    evaluate(runs[2].folder, math.nan)
    reproduce.keep(runs, is_best_packed=True, again=False)
    assert packed == {"maml-seed1": "weights", "maml-seed2": "record"}


@pytest.mark.slow
def test_a_table_is_reproduced(root, capsys):
    assert reproduce.main(["regression", "--seeds=2", "--jobs=2"]) == 0
    results, pretrained = (root / name / "regression_2mode" for name in ("results", "pretrained"))
    held = {path.parent.parent.name for path in pretrained.glob("*/checkpoints/*.index")}
    assert len(held) == 1  # the better one's weights
    table = (results / "table.md").read_text()
    assert "| maml seed=1 |" in table and "| 2 | 40 |" in table
    assert "(2 seeds; tasks ± " in (root / "README.md").read_text()
    before = (results / "maml-seed0" / "evaluation.csv").read_bytes()
    capsys.readouterr()
    assert reproduce.main(["regression", "--seeds=2"]) == 0
    assert capsys.readouterr().out.count("kept    ") == 2
    assert (results / "maml-seed0" / "evaluation.csv").read_bytes() == before
