"""The command: trains, evaluates, exports, packs and reports, in this process."""

import json
import shutil

import pandas as pd
import pytest
import tensorflow as tf

from flags.common import FLAGS
from mmaml_tf.errors import RunError
from mmaml_tf.regression.shown_tasks import ShownTasks
from mmaml_tf.training import provenance
from mmaml_tf.training.run_folder import RunFolder
from tests.runs import command, start_command, tiny_domain, tiny_flags
from tools import model_card, pack, regenerate

BASE = ["--domain=regression_2mode", *tiny_flags()]
# The method that builds fastest, for what does not depend on it.
MAML = ["--domain=regression_2mode", *tiny_flags("maml")]


pytestmark = pytest.mark.usefixtures("in_empty_folder")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 10 iterations of each method."""
    folder = tmp_path_factory.mktemp("trained")
    for method, flags in (("maml", MAML), ("mumomaml", BASE)):
        assert command(*flags, "--iterations=10", f"--output_dir={folder / method}") == 0
    return folder


@pytest.fixture
def copied(trained, in_empty_folder):
    """Copies one of these runs into the empty folder."""

    def copy(path="run", method="maml"):
        return shutil.copytree(trained / method, in_empty_folder / path)

    return copy


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


@pytest.fixture
def pack_here(in_empty_folder, monkeypatch):
    """Packs a run into the empty folder."""

    def packed(path, **options):
        for name in FLAGS:
            FLAGS[name].unparse()
        FLAGS(["pack.py"])
        monkeypatch.setattr(pack, "ROOT", in_empty_folder)
        return pack.pack(RunFolder(path), **options)

    return packed


def test_packed_weights_evaluate_as_the_run(in_empty_folder, copied, pack_here):
    copied(method="mumomaml")
    packed = pack_here("run")
    assert packed == in_empty_folder / "pretrained" / "regression_2mode" / "mumomaml-film-seed0"
    kept = tf.train.load_checkpoint(str(packed / "checkpoints" / "ckpt-10"))
    assert not [name for name in kept.get_variable_to_shape_map() if "optimizer" in name]
    assert command("--mode=evaluate", f"--checkpoint={packed}", "--output_dir=again") == 0
    first, again = (
        (in_empty_folder / name / "evaluation.csv").read_bytes() for name in ("run", "again")
    )
    assert first == again


def test_a_recorded_run_is_reported_without_weights(
    in_empty_folder, copied, pack_here, monkeypatch
):
    copied()
    packed = pack_here("run", record=True)
    assert {path.name for path in packed.iterdir()} == {
        "config.json",
        "metrics.csv",
        "provenance.json",
    }
    for module in (regenerate, model_card):
        monkeypatch.setattr(module, "ROOT", in_empty_folder)
    regenerate.regenerate("regression_2mode", measure=True)
    results = in_empty_folder / "results" / "regression_2mode"
    kept = (results / "maml-seed0" / "evaluation.csv").read_bytes()
    assert kept == (in_empty_folder / "run" / "evaluation.csv").read_bytes()
    row = (results / "table.md").read_text().splitlines()[-1]
    assert row.startswith("| maml | 0 | 10 | 10 |")
    shutil.rmtree(results)
    with pytest.raises(RunError, match="holds no checkpoint"):
        regenerate.regenerate("regression_2mode", measure=False)


def test_packing_replaces_nothing_else(in_empty_folder, copied, pack_here):
    copied()
    theirs = in_empty_folder / "theirs" / "thesis.txt"
    theirs.parent.mkdir()
    theirs.write_text("years of work")
    shipped = in_empty_folder / "pretrained" / "regression_2mode" / "saved_model" / "model.pb"
    shipped.parent.mkdir(parents=True)
    shipped.write_text("weights")
    for name in (str(theirs.parent), "../..", "..", ".", "saved_model", "a/b", "-x", " "):
        with pytest.raises(RunError, match="is no name for a packed run"):
            pack_here("run", name=name)
    assert theirs.exists() and shipped.exists()
    packed = pack_here("run")
    before = (packed / "config.json").read_text()
    assert command(*MAML, "--iterations=20", "--inner_lr=0.5", "--output_dir=other") == 0
    with pytest.raises(RunError, match="packed from another run .inner_lr is 0.01, not 0.5"):
        pack_here("other")
    assert (packed / "config.json").read_text() == before
    assert pack_here("other", name="other-one").name == "other-one"
    assert pack_here("other", force=True) == packed
    assert (packed / "config.json").read_text() != before
    with pytest.raises(RunError, match="has the weights alone: .* training can't go on from it"):
        pack_here(packed, name="again", resumable=True)  # it has the weights alone
    assert not (packed.parent / "again").exists()
    (packed / "config.json").unlink()
    for force in (False, True):
        with pytest.raises(RunError, match=f"{packed} is no packed run"):
            pack_here("run", force=force)
    assert (packed / "metrics.csv").exists()


def test_packing_again_deletes_no_file_of_a_users(in_empty_folder, copied, pack_here):
    copied()
    notes = pack_here("run") / "notes.txt"
    notes.write_text("years of work")
    for force in (False, True):
        with pytest.raises(RunError, match="maml-seed0 holds notes.txt, too: move that away"):
            pack_here("run", force=force)
    assert notes.read_text() == "years of work"


def test_fewer_iterations_do_not_replace_more(in_empty_folder, copied, pack_here):
    copied()
    packed = pack_here("run")
    run = RunFolder("run")
    run.metrics.truncate(5)
    run.metrics.append(dict(iteration=5, loss=1.0))
    before = {path: path.read_bytes() for path in packed.rglob("*") if path.is_file()}
    for record in (False, True):
        with pytest.raises(RunError, match="maml-seed0 is of 10 iterations, this of 5: --force"):
            pack_here("run", record=record)
    notes = packed / "checkpoints" / "notes.txt"
    notes.write_text("years of work")
    with pytest.raises(RunError, match="holds checkpoints/notes.txt, too: move that away"):
        pack_here("run", force=True)
    notes.unlink()
    assert before == {path: path.read_bytes() for path in packed.rglob("*") if path.is_file()}
    pack_here("run", force=True)


def test_a_record_is_of_the_runs_own_evaluation(in_empty_folder, copied, pack_here):
    copied()
    assert command(*MAML, "--inner_lr=0.5", "--output_dir=other") == 0
    for name in ("evaluation.csv", "evaluation.json"):
        shutil.copy(f"other/{name}", "run")
    with pytest.raises(RunError, match="is of another run .inner_lr is 0.01, not 0.5"):
        pack_here("run", record=True)
    assert not (in_empty_folder / "results").exists()


def test_a_run_whose_folder_has_an_equals_sign_is_packed(in_empty_folder, copied, monkeypatch):
    packed = []
    monkeypatch.setattr(pack, "_packed", lambda path, name, _: packed.append((path, name)))
    monkeypatch.setattr(pack, "ROOT", in_empty_folder)
    copied(path="lr=0.1")
    for argument, wanted in (
        ("lr=0.1", ("lr=0.1", "")),
        ("lr=0.1=slow", ("lr=0.1", "slow")),
        ("lr=slow", ("lr", "slow")),
        ("lr", ("lr", "")),
    ):
        monkeypatch.setattr("sys.argv", ["pack.py", argument])
        with pytest.raises(AttributeError):  # of what was not packed
            pack.main()
        assert packed.pop() == wanted


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


def test_a_record_replaces_no_other_and_no_weights(in_empty_folder, copied, pack_here):
    copied()
    packed = pack_here("run")
    with pytest.raises(RunError, match="maml-seed0 has weights, which a record has not"):
        pack_here("run", record=True)
    assert (packed / "checkpoints").exists()
    evaluation = RunFolder("run").evaluation_file
    evaluation.rename("aside")
    with pytest.raises(RunError, match="run was not evaluated"):
        pack_here("run", record=True, force=True)
    (in_empty_folder / "aside").rename(evaluation)
    pack_here("run", record=True, force=True)
    assert not (packed / "checkpoints").exists()
    pack_here("run", record=True)  # the same again
    kept = in_empty_folder / "results" / "regression_2mode" / "maml-seed0" / "evaluation.json"
    before = kept.read_text()
    assert command(*MAML, "--inner_lr=0.5", "--output_dir=other") == 0
    shutil.rmtree(packed)
    with pytest.raises(RunError, match="another run .inner_lr is 0.5, not 0.01.*--force"):
        pack_here("other", record=True)
    assert kept.read_text() == before and not packed.exists()
    kept.unlink()
    with pytest.raises(RunError, match="evaluation.csv is of no known run: --force"):
        pack_here("run", record=True)
    pack_here("other", record=True, force=True)
    assert json.loads(kept.read_text())["config"]["inner_lr"] == 0.5


def test_a_damaged_checkpoint_is_not_packed_to_go_on_from(in_empty_folder, copied, pack_here):
    copied()
    (newest,) = (in_empty_folder / "run" / "checkpoints").glob("ckpt-10.data*")
    newest.write_bytes(b"")
    names = sorted(path.name for path in newest.parent.iterdir())
    packed = pack_here("run", resumable=True)
    assert {path.stem for path in (packed / "checkpoints").iterdir()} == {"ckpt-0"}
    assert sorted(path.name for path in newest.parent.iterdir()) == names  # it is only read
    for file in newest.parent.glob("ckpt-0.data*"):
        file.write_bytes(b"")
    with pytest.raises(RunError, match="every checkpoint in .* is damaged"):
        pack_here("run", resumable=True)
    assert (packed / "checkpoints" / "ckpt-0.index").exists()


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("config.json", "{", "config.json is no JSON"),
        ("metrics.csv", "iteration,loss\n10,low\n", "row 1 loss is 'low'"),
        ("provenance.json", "[{}]", "entry 1 command is missing"),
        ("evaluation.csv", "step,mode\n", "has no row of all tasks"),
        ("evaluation.json", "{}", "config is missing"),
    ],
)
def test_damaged_files_are_not_regenerated_from(
    in_empty_folder, copied, pack_here, monkeypatch, file, text, words
):
    copied()
    packed = pack_here("run", record=True)
    results = in_empty_folder / "results" / "regression_2mode"
    for module in (regenerate, model_card):
        monkeypatch.setattr(module, "ROOT", in_empty_folder)
    regenerate.regenerate("regression_2mode", measure=False)
    table = (results / "table.md").read_text()
    (next(f for f in (packed / file, results / packed.name / file) if f.exists())).write_text(text)
    with pytest.raises(SystemExit, match=words) as end:
        regenerate.main(["regression_2mode"])
    assert str(end.value).startswith("regenerate: ") and "\n" not in str(end.value)
    assert (results / "table.md").read_text() == table


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


@pytest.mark.parametrize("text", [None, ""])
def test_a_run_that_lost_its_metrics_is_evaluated_all_the_same(
    capsys, in_empty_folder, copied, pack_here, text
):
    copied()
    run = RunFolder("run")
    drawn = (run.figures / "training.png").read_bytes()
    run.evaluation_file.unlink()
    run.metrics.path.unlink() if text is None else run.metrics.path.write_text(text)
    assert command(*MAML, "--iterations=10", "--output_dir=run") == 0
    assert "already trained" in capsys.readouterr().out and run.evaluation_file.exists()
    assert (run.figures / "training.png").read_bytes() == drawn
    assert command("--mode=report", "--runs=run", "--output_dir=report") == 0
    assert "| maml | 0 | 10 | 10 |" in capsys.readouterr().out
    with pytest.raises(RunError, match="metrics.csv has no rows: it says how"):
        pack_here("run")


@pytest.mark.parametrize(
    "setting", ["iterations", "meta_lr", "meta_batch_size", "log_every", "num_queries"]
)
def test_how_to_train_is_no_setting_of_what_is_not_trained(capsys, in_empty_folder, setting):
    flags = ["--domain=regression_2mode", *tiny_flags("random"), f"--{setting}=4"]
    assert command(*flags) == 2
    assert f"--{setting}=4" in (message := capsys.readouterr().err)
    assert "--method=random is not trained; drop it" in message


def test_a_run_with_a_damaged_file_is_not_packed(in_empty_folder, copied, pack_here):
    copied()
    for name in ("metrics.csv", "provenance.json"):
        file = in_empty_folder / "run" / name
        whole = file.read_text()
        file.write_text(whole[: len(whole) // 2])
        with pytest.raises(RunError, match=name):
            pack_here("run")
        file.write_text(whole)
    assert not (in_empty_folder / "pretrained").exists()


def test_packed_run_goes_on(capsys, in_empty_folder, copied, pack_here):
    copied()
    assert command(*MAML, "--iterations=20", "--output_dir=run20") == 0
    packed = pack_here("run", resumable=True)
    capsys.readouterr()
    assert command(*MAML, "--iterations=20", f"--output_dir={packed}") == 0
    assert "resuming at iteration 10" in capsys.readouterr().out
    whole, parts = (
        (folder / "evaluation.csv").read_text() for folder in (in_empty_folder / "run20", packed)
    )
    assert whole == parts


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


def test_packed_weights_are_no_start_for_training(capsys, copied, pack_here):
    copied()
    packed = pack_here("run")
    capsys.readouterr()
    assert command(*MAML, "--iterations=20", f"--output_dir={packed}") == 1
    assert "ckpt-10 has the weights alone" in capsys.readouterr().err
    assert command("--mode=evaluate", f"--checkpoint={packed}", "--output_dir=again") == 0
