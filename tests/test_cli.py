"""The command: trains, evaluates, exports and reports, in this process."""

import json

import pandas as pd
import pytest

from mmaml_tf.regression.shown_tasks import ShownTasks
from mmaml_tf.training import provenance
from mmaml_tf.training.run_folder import RunFolder
from tests.runs import command, start_command, tiny_domain, tiny_flags

# The method that builds fastest, for what does not depend on it.
MAML = ["--domain=regression_2mode", *tiny_flags("maml")]


pytestmark = pytest.mark.usefixtures("in_empty_folder")


@pytest.mark.parametrize(
    ("domain", "modes", "method"),
    [
        ("regression_5mode", 5, ["multi_maml"]),
        ("regression_5mode", 5, ["mumomaml", "film"]),
        ("sinusoid", 1, ["maml"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else str(value),
)
def test_every_method_and_number_of_modes(domain, modes, method, in_empty_folder):
    arguments = [f"--domain={domain}", *tiny_flags(method[0])]
    arguments += ["--iterations=2", f"--meta_batch_size={2 * modes}"]
    arguments += [f"--modulation={method[1]}"] if len(method) == 2 else []
    assert command(*arguments) == 0
    folder = in_empty_folder / "runs" / domain / "-".join(method) / "seed0"
    table = pd.read_csv(folder / "evaluation.csv")
    assert list(table) == ["step", "mode", "metric", "mean", "ci95", "num_tasks"]
    steps = 10 if domain == "sinusoid" else 2  # as published, and as in training
    assert list(table["step"].unique()) == list(range(steps + 1))
    assert len(table["mode"].unique()) == (modes + 1 if modes > 1 else 1)
    assert set(table["metric"]) == {"mse"}
    assert table[table["mode"] == "all"]["num_tasks"].eq(40).all()
    figures = {path.name for path in (folder / "figures").iterdir()}
    embedded = {"task_embeddings.png"} if method[0] == "mumomaml" and modes > 1 else set()
    assert (
        figures
        == {"training.png", "adaptation.png", "predictions.png", "predictions_one_sided.png"}
        | embedded
    )
    assert (folder / "saved_model" / "saved_model.pb").exists()
    assert list((folder / "tensorboard").rglob("events*"))
    assert pd.read_csv(folder / "metrics.csv")["iteration"].tolist() == [2]


def test_another_configuration_is_refused_and_nothing_touched(capsys, in_empty_folder, copied):
    arguments = [*MAML, "--iterations=10", "--output_dir=run"]
    copied()
    before = {p: p.read_bytes() for p in in_empty_folder.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert command(*arguments, "--inner_lr=0.5", "--seed=4") != 0
    message = capsys.readouterr().err
    assert "inner_lr is 0.01, not 0.5" in message
    assert "seed is 0, not 4" in message
    assert "--overwrite" in message
    assert before == {p: p.read_bytes() for p in in_empty_folder.rglob("*") if p.is_file()}
    assert command(*arguments, "--inner_lr=0.5", "--overwrite") == 0
    assert json.loads((in_empty_folder / "run" / "config.json").read_text())["inner_lr"] == 0.5


def test_checkpoint_is_read_and_not_written(capsys, in_empty_folder, copied):
    theirs = copied("runs/regression_2mode/maml/seed0")
    before = {p: p.read_bytes() for p in theirs.rglob("*") if p.is_file()}
    for mode in ("evaluate", "export"):
        assert command(f"--mode={mode}", f"--checkpoint={theirs}") == 0
    mine = theirs.with_name("checkpoint-seed0")
    assert (mine / "evaluation.csv").read_bytes() == before[theirs / "evaluation.csv"]
    assert (mine / "figures" / "predictions.png").exists()
    assert (mine / "saved_model" / "saved_model.pb").exists()
    assert before == {p: p.read_bytes() for p in theirs.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert command("--mode=evaluate", f"--checkpoint={theirs}", f"--output_dir={theirs}") == 1
    assert "seed0 holds a run" in capsys.readouterr().err
    for mode in ("train", "report"):
        assert command(*MAML, "--checkpoint=theirs", f"--mode={mode}") == 2
        assert "--checkpoint=theirs: goes with --mode=evaluate" in capsys.readouterr().err
    assert command("--mode=report", "--domain=regression_2mode") == 0
    assert capsys.readouterr().out.count("| maml |") == 2  # in both tables
    assert command("--mode=report", "--domain=regression_2mode", f"--output_dir={theirs}") == 1
    assert "seed0 holds a run" in capsys.readouterr().err
    assert before == {p: p.read_bytes() for p in theirs.rglob("*") if p.is_file()}


def test_notes_in_a_saved_model_stay(in_empty_folder, copied):
    copied()
    model = RunFolder("run").saved_model
    (model / "NOTES.md").write_text("mine")
    (model / "more").mkdir()
    (model / "more" / "file").write_text("mine")
    (model / "saved_model.pb").write_bytes(b"old")
    assert command("--mode=export", "--output_dir=run") == 0
    assert (model / "NOTES.md").read_text() == (model / "more" / "file").read_text() == "mine"
    assert (model / "saved_model.pb").read_bytes() != b"old"


def test_a_finished_run_whose_last_row_was_cut_can_be_used(in_empty_folder, copied):
    copied()
    run = RunFolder("run")
    text = run.metrics.path.read_text()
    run.metrics.path.write_text(text[:-5].rpartition(",")[0])
    assert command(*MAML, "--iterations=10", "--output_dir=run") == 0
    assert command("--mode=evaluate", "--output_dir=run") == 0


def test_a_tilde_within_a_path_is_a_folders_name(in_empty_folder, copied, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(in_empty_folder / "home"))
    copied(path="~/run")
    assert command("--mode=report", "--runs=./~/run", "--output_dir=report") == 0
    assert "| maml |" in capsys.readouterr().out


def test_a_file_where_the_best_checkpoint_goes_is_said(copied, capsys):
    copied()
    best = RunFolder("run").best_checkpoint
    best.write_text("mine")
    assert command("--mode=evaluate", "--output_dir=run") == 1
    assert "checkpoints/best is no folder, as a run writes one" in capsys.readouterr().err
    assert best.read_text() == "mine"


def test_output_without_the_letters_for_it(in_empty_folder, copied, monkeypatch):
    copied()
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    process = start_command("--mode=evaluate", "--output_dir=run", cwd=in_empty_folder)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert " ? " in out  # for ±


@pytest.mark.parametrize("modes", [["linear", "sinusoid"], ["a"], ["sinusoid"]])
def test_a_runs_modes_are_those_of_its_domain(capsys, in_empty_folder, copied, modes):
    """Else their numbers would change places."""
    copied()
    file = in_empty_folder / "run" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | dict(modes=modes)))
    before = (in_empty_folder / "run" / "evaluation.csv").read_bytes()
    for mode in ("evaluate", "report"):
        where = "--runs=run" if mode == "report" else "--output_dir=run"
        assert command(f"--mode={mode}", where) == 1
        message = capsys.readouterr().err
        assert f"modes are {','.join(modes)}, but those of" in message and "config.json" in message
    assert (in_empty_folder / "run" / "evaluation.csv").read_bytes() == before


@pytest.mark.parametrize(
    "setting", ["iterations", "meta_lr", "meta_batch_size", "log_every", "num_queries"]
)
def test_how_to_train_is_no_setting_of_what_is_not_trained(capsys, in_empty_folder, setting):
    flags = ["--domain=regression_2mode", *tiny_flags("random"), f"--{setting}=4"]
    assert command(*flags) == 2
    assert f"--{setting}=4" in (message := capsys.readouterr().err)
    assert "--method=random is not trained; drop it" in message


def test_evaluate_again_with_other_tasks(capsys, in_empty_folder, copied):
    copied()
    first = (in_empty_folder / "run" / "evaluation.csv").read_text()
    assert command("--mode=evaluate", "--output_dir=run") == 0
    assert (in_empty_folder / "run" / "evaluation.csv").read_text() == first
    assert command("--mode=evaluate", "--output_dir=run", "--eval_tasks=60") == 0
    table = pd.read_csv(in_empty_folder / "run" / "evaluation.csv")
    assert set(table["num_tasks"]) == {60, 30}
    capsys.readouterr()
    for mode, flag, words in (
        ("evaluate", "--inner_lr=1", "inner_lr is 0.01, not 1.0"),
        # It would be recorded for weights that never got there.
        ("evaluate", "--iterations=80000", "iterations is 10, not 80000"),
        ("evaluate", "--checkpoint_every=20", "checkpoint_every is 10, not 20"),
        ("evaluate", "--method=mumomaml", "method is maml, not mumomaml"),
        (
            "evaluate",
            "--encoder_units=3",
            "--encoder_units=3: a setting of --method=modulation or mumomaml",
        ),
        ("export", "--eval_tasks=80", "eval_tasks is 40, not 80"),
    ):
        assert command(f"--mode={mode}", "--output_dir=run", flag) != 0
        assert words in capsys.readouterr().err
    assert command("--mode=evaluate", "--output_dir=run", "--rollouts=3") != 0
    assert "--rollouts=3: not a setting of this run's domain" in capsys.readouterr().err
    origin = json.loads((in_empty_folder / "run" / "evaluation.json").read_text())
    assert origin["config"]["eval_tasks"] == 60 and origin["iteration"] == 10


def test_report_compares_runs(capsys, in_empty_folder, copied):
    copied("runs/regression_2mode/maml/seed0")
    copied("runs/regression_2mode/mumomaml-film/seed0", method="mumomaml")
    assert command("--mode=report", "--domain=regression_2mode") == 0
    out = capsys.readouterr().out
    report = in_empty_folder / "runs" / "regression_2mode" / "report"
    assert (report / "table.md").read_text() in out
    assert "| maml | " in out
    assert "| mumomaml-film | " in out
    assert {p.name for p in report.glob("*.png")} == {
        "training.png",
        "adaptation.png",
        "predictions_before.png",
        "predictions.png",
    }
    rows = pd.read_csv(report / "evaluation.csv", keep_default_na=False)
    assert set(zip(rows["method"], rows["modulation"], rows["run"], strict=True)) == {
        ("maml", "", "maml"),
        ("mumomaml", "film", "mumomaml-film"),
    }
    maml, film = (line for line in (report / "table.md").read_text().splitlines() if "`" in line)
    assert maml.startswith("| maml | 0 | 10 | 10 |")
    assert film.startswith("| mumomaml-film | 0 | 10 | 10 |")
    assert f"| {provenance.commit() or '?'} |" in maml and "| `python " in maml


def test_evaluations_with_another_k_are_drawn_apart(in_empty_folder, copied):
    for name in ("one", "two"):
        copied(name)
    assert command("--mode=evaluate", "--output_dir=two", "--eval_shots=3") == 0
    assert command("--mode=report", "--runs=one,two", "--output_dir=report") == 0
    drawn = {path.name for path in (in_empty_folder / "report").glob("adaptation*")}
    assert drawn == {"adaptation.png", "adaptation_k3.png"}
    rows = pd.read_csv(in_empty_folder / "report" / "evaluation.csv", keep_default_na=False)
    assert {*rows["run"]} == {"maml eval_shots=None", "maml eval_shots=3"}


def test_evaluations_that_differ_in_anything_are_told_apart(in_empty_folder, copied):
    for name in ("one", "two"):
        copied(name)
    assert command("--mode=evaluate", "--output_dir=two", "--eval_tasks=60") == 0
    assert command("--mode=report", "--runs=one,two", "--output_dir=report") == 0
    rows = pd.read_csv(in_empty_folder / "report" / "evaluation.csv", keep_default_na=False)
    assert {*rows["run"]} == {"maml eval_tasks=40", "maml eval_tasks=60"}


def test_predictions_on_other_tasks_are_not_drawn_beside(in_empty_folder, copied, monkeypatch):
    for name, method in (("one", "maml"), ("two", "mumomaml"), ("three", "maml")):
        copied(name, method=method)
    assert command("--mode=evaluate", "--output_dir=two", "--eval_seed=7") == 0
    drawn = []
    note = lambda _, predicted: drawn.append([*predicted]) or {}  # noqa: E731
    monkeypatch.setattr(ShownTasks, "figures", note)
    assert command("--mode=report", "--runs=one,two", "--output_dir=report") == 0
    assert drawn == [["maml"]]


def test_report_says_what_was_evaluated(capsys, in_empty_folder, copied):
    """Not what the run has come to since, nor another run's evaluation."""
    copied()
    longer = tiny_domain("maml", iterations=20)
    with RunFolder("run").claimed(longer.config):
        longer.train(longer.build_learner(), RunFolder("run"))
    assert command("--mode=report", "--runs=run", "--output_dir=report") == 0
    assert "| maml | 0 | 20 | 10 |" in (in_empty_folder / "report" / "table.md").read_text()
    file = in_empty_folder / "run" / "evaluation.json"
    file.write_text(file.read_text().replace('"inner_lr": 0.01', '"inner_lr": 0.5'))
    capsys.readouterr()
    assert command("--mode=report", "--runs=run", "--output_dir=report") == 1
    message = capsys.readouterr().err
    assert "evaluation.json is of another run (inner_lr is 0.01, not 0.5)" in message


def test_report_of_runs_that_take_different_numbers_of_steps(in_empty_folder, copied):
    copied("run2")
    assert command(*MAML, "--inner_steps=1", "--output_dir=run1", "--iterations=10") == 0
    assert command("--mode=report", "--runs=run1,run2", "--output_dir=report") == 0
    lines = (in_empty_folder / "report" / "table.md").read_text().splitlines()
    head, one, two = (line.split("|")[1:-2] for line in lines if "±" in line or " mse " in line)
    assert "inner_steps=1" in one[0] and "inner_steps=2" in two[0]
    assert [name.strip() for name in head[2:4]] == [
        "mse after 1 step, all",
        "mse after all steps, all",
    ]
    for cells, steps in ((one, 1), (two, 2)):
        rows = pd.read_csv(f"run{steps}/evaluation.csv").query(f"step == {steps}")
        expected = [f"{mean:.4f}" for mean in rows["mean"]]
        assert [cell.split("±")[0].strip() for cell in cells[3:]] == expected
    assert one[2] == one[3] and two[2] != two[3]


def test_a_run_of_an_unknown_domain_names_its_file(capsys, in_empty_folder, copied):
    copied()
    file = in_empty_folder / "run" / "config.json"
    file.write_text(file.read_text().replace("regression_2mode", "gone"))
    for arguments in (["--mode=evaluate", "--checkpoint=run"], ["--mode=report", "--runs=run"]):
        assert command(*arguments) == 1
        message = capsys.readouterr().err
        assert message.startswith("run_experiment: run/config.json: --domain=gone: choose from")


def test_another_domains_folder_is_refused(capsys, in_empty_folder, copied):
    copied()
    capsys.readouterr()
    assert command("--domain=cheetah_speed", "--output_dir=run") == 1
    message = capsys.readouterr().err
    assert "run holds another run (domain is regression_2mode, not cheetah_speed)" in message
