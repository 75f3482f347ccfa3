"""Packing of runs, of which nothing of a user's goes, and what is made of packed ones."""

import json
import shutil

import pytest
import tensorflow as tf

from mmaml_tf.errors import RunError
from mmaml_tf.training import provenance
from mmaml_tf.training.run_folder import RunFolder
from tests.runs import command, tiny_flags
from tools import pack, places, regenerate, rows, tables

# The method that builds fastest, for what does not depend on it.
MAML = ["--domain=regression_2mode", *tiny_flags("maml")]


pytestmark = pytest.mark.usefixtures("in_empty_folder")


@pytest.fixture
def pack_here(in_empty_folder, monkeypatch):
    """Packs a run into the empty folder, where all else is kept, too."""
    monkeypatch.setattr(places, "ROOT", in_empty_folder)
    monkeypatch.setattr(tables, "write", lambda: None)
    return lambda path, **options: pack.pack(RunFolder(path), **options)


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


def test_a_served_model_has_a_card(in_empty_folder, copied, pack_here, monkeypatch):
    copied(method="mumomaml")
    packed = RunFolder(pack_here("run"))
    with pytest.raises(RunError, match="to serve mumomaml-film-tuned-seed0"):
        pack.serve(packed)
    monkeypatch.setitem(rows.SERVED, "regression_2mode", packed.path.name)
    with pytest.raises(RunError, match="has no evaluation"):
        pack.serve(packed)
    regenerate.regenerate("regression_2mode", measure=False)
    card = pack.serve(packed)
    assert card == in_empty_folder / "pretrained/regression_2mode/saved_model/README.md"
    text = card.read_text()
    assert text.startswith("# regression_2mode: mumomaml-film-seed0\n")
    assert "modes: sinusoid, linear." in text and "standard deviation 0.3." in text
    assert "| input | `support_x` | [?, ?, 1] | float32 |" in text
    assert "| output | `task_embedding` | [?, 6] | float32 |" in text
    assert "on 40 tasks" in text and text.count(" ± ") == 10  # of 3 x 3 numbers, and in words
    assert f"at commit {provenance.commit() or '?'}, to iteration 10" in text
    assert "* weights of iteration 10\n" in text
    assert "| `inner_lr` | 0.01 |" in text and "context_size" not in text
    assert "MIT" in text


def test_a_recorded_run_is_reported_without_weights(in_empty_folder, copied, pack_here):
    copied()
    packed = pack_here("run", record=True)
    assert {path.name for path in packed.iterdir()} == {
        "config.json",
        "metrics.csv",
        "provenance.json",
    }
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


def test_a_run_whose_folder_has_an_equals_sign(in_empty_folder):
    (in_empty_folder / "lr=0.1").mkdir()
    for argument, wanted in (
        ("lr=0.1", ("lr=0.1", "")),
        ("lr=0.1=slow", ("lr=0.1", "slow")),
        ("lr=slow", ("lr", "slow")),
        ("lr", ("lr", "")),
    ):
        assert pack.named(argument) == wanted


@pytest.mark.parametrize("flag", ["--resumable", "--served"])
def test_a_record_has_no_weights(flag, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["pack.py", "run", "--record", flag])
    with pytest.raises(SystemExit) as end:
        pack.main()
    assert end.value.code == 2 and "--record" in capsys.readouterr().err


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
    regenerate.regenerate("regression_2mode", measure=False)
    table = (results / "table.md").read_text()
    (next(f for f in (packed / file, results / packed.name / file) if f.exists())).write_text(text)
    monkeypatch.setattr("sys.argv", ["regenerate.py", "regression_2mode"])
    with pytest.raises(SystemExit, match=words) as end:
        regenerate.main()
    assert str(end.value).startswith("regenerate: ") and "\n" not in str(end.value)
    assert (results / "table.md").read_text() == table


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


def test_packed_weights_are_no_start_for_training(capsys, copied, pack_here):
    copied()
    packed = pack_here("run")
    capsys.readouterr()
    assert command(*MAML, "--iterations=20", f"--output_dir={packed}") == 1
    assert "ckpt-10 has the weights alone" in capsys.readouterr().err
    assert command("--mode=evaluate", f"--checkpoint={packed}", "--output_dir=again") == 0
