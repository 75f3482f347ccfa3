"""Whose folder it is: nothing of a user's, and no other process's run, is written over."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.training import fit
from mmaml_tf.training.run_folder import LOCK, RunFolder
from tests.runs import SCRIPT, command, start_command, tiny_domain, tiny_flags

MAML = ["--domain=regression_2mode", *tiny_flags("maml"), "--iterations=10"]
HOLD = """
import sys, time
from mmaml_tf.training.run_folder import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def config():
    return tiny_domain("maml").config


pytestmark = pytest.mark.usefixtures("in_empty_folder")


@pytest.fixture
def holder(tmp_path):
    """Another process that is at work in the folder `run`."""
    arguments = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(arguments, cwd=SCRIPT.parent, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def everything(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != LOCK}


FOREIGN_CONFIGS = [
    None,
    "",
    "{",
    '{"domain": "example.org", "port": 8080}',
    '{"domain": "x", "method": "post", "seed": 1, "iterations": "many"}',
    '{"domain": "x", "method": "post", "seed": 1, "iterations": 3, "port": 80}',
]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("text", FOREIGN_CONFIGS)
def test_a_folder_that_is_no_run_is_never_overwritten(tmp_path, config, overwrite, text):
    theirs = tmp_path / "u"
    (theirs / "figures").mkdir(parents=True)
    (theirs / "figures" / "thesis.png").write_bytes(b"years of work")
    (theirs / "metrics.csv").write_text("mine\n")
    if text is not None:
        (theirs / "config.json").write_text(text)
    before = everything(theirs)
    with pytest.raises(RunError, match="is no run of this program, but holds .*metrics.csv") as e:
        with RunFolder(theirs).claimed(config, overwrite):
            pytest.fail("claimed")
    assert "figures" in str(e.value) and "--overwrite" not in str(e.value)
    assert everything(theirs) == before and not (theirs / LOCK).exists()


def test_overwriting_a_run_unlinks_what_it_links_to(tmp_path, config):
    elsewhere, run = tmp_path / "elsewhere", RunFolder(tmp_path / "run")
    elsewhere.mkdir()
    (elsewhere / "ckpt-1.index").write_text("precious")
    run.path.mkdir()
    run.keep(config)
    run.checkpoints.symlink_to(elsewhere)
    run.saved_model.symlink_to(tmp_path / "gone")
    run.figures.mkdir()
    (run.path / "notes.txt").write_text("a user's")
    with run.claimed(config, overwrite=True):
        assert sorted(p.name for p in run.path.iterdir()) == [LOCK, "notes.txt"]
    assert (elsewhere / "ckpt-1.index").read_text() == "precious"


def test_a_folder_in_use_is_refused_naming_the_process(tmp_path, config, holder):
    run = RunFolder(tmp_path / "run")
    run.keep(config)
    before = everything(run.path)
    for overwrite in (False, True):
        with pytest.raises(RunError, match=f"is in use by process {holder.pid} on "):
            with run.claimed(config, overwrite):
                pytest.fail("claimed")
    assert everything(run.path) == before
    holder.kill()
    holder.wait()
    with run.claimed(config):  # a lock that a killed process has left is none
        pass


@pytest.mark.parametrize("mode", ["evaluate", "export"])
def test_a_run_in_use_is_not_evaluated_over(capsys, in_empty_folder, config, holder, mode):
    RunFolder("run").keep(config)
    assert command(f"--mode={mode}", "--output_dir=run") == 1
    assert f"in use by process {holder.pid}" in capsys.readouterr().err
    assert {path.name for path in Path("run").iterdir()} == {"config.json", LOCK}


def test_the_command_refuses_a_run_in_use(capsys, in_empty_folder, holder):
    assert command(*MAML, "--output_dir=run") == 1
    message = capsys.readouterr().err
    assert f"process {holder.pid}" in message and message.count("\n") == 1
    assert not everything(in_empty_folder)


def test_a_folder_for_results_must_be_empty_or_our_own(tmp_path):
    output = RunFolder(tmp_path / "u")
    output.path.mkdir()
    (output.path / "table.md").write_text("my own")
    with pytest.raises(RunError, match="u holds table.md, which this program may not replace"):
        with output.claimed_for("a"):
            pytest.fail("claimed")
    assert (output.path / "table.md").read_text() == "my own"
    (output.path / "table.md").unlink()
    for _ in range(2):  # from then on it is known
        with output.claimed_for("a"):
            output.evaluation_file.write_text("ours")
    with pytest.raises(RunError, match=r"u holds what was made of another run \(a\)"):
        with output.claimed_for("b"):
            pytest.fail("claimed")
    file = tmp_path / "file"
    file.write_text("text")
    with pytest.raises(RunError, match="is no folder"):
        with RunFolder(file).claimed_for("a"):
            pytest.fail("claimed")


@pytest.mark.parametrize("mode", ["train", "evaluate"])
@pytest.mark.parametrize(
    "part", ["figures", "tensorboard", "saved_model", "checkpoints", "evaluation.csv"]
)
@pytest.mark.parametrize("is_link", [False, True], ids=["there", "dangling"])
def test_what_is_not_what_a_run_writes_there_is_refused(tmp_path, config, mode, part, is_link):
    """Before the work, and nothing of it is deleted: a file for a folder, a folder for a file."""
    folder, place = RunFolder(tmp_path / "run"), tmp_path / "run" / part
    folder.path.mkdir()
    folder.keep(config)
    if is_link:
        place.symlink_to("nowhere")
    elif place.suffix:
        place.mkdir()
        (place / "thesis.txt").write_text("years of work")
    else:
        place.write_text("years of work")
    kind = "file" if place.suffix else "folder"
    with pytest.raises(RunError, match=f"run/{part} is no {kind}, as a run writes one there"):
        with folder.claimed(config) if mode == "train" else folder.locked():
            pytest.fail("claimed")
    assert place.is_symlink() == is_link
    if not is_link:
        text = place if place.is_file() else place / "thesis.txt"
        assert text.read_text() == "years of work"


def test_a_link_to_nowhere_is_no_folder(capsys, in_empty_folder):
    (in_empty_folder / "run").symlink_to("nowhere")
    assert command(*MAML, "--output_dir=run") == 1
    assert "--output_dir=run: is no folder" in capsys.readouterr().err
    assert (in_empty_folder / "run").is_symlink()


def test_a_part_of_a_run_is_no_place_for_another(tmp_path, config):
    """What would be there goes with the next export, or --overwrite."""
    run = RunFolder(tmp_path / "run")
    with run.claimed(config):
        run.keep(config)
    for path in (run.saved_model, run.figures / "a" / "b", run.best_checkpoint):
        for claim in (RunFolder(path).claimed(config), RunFolder(path).claimed_for("a")):
            with pytest.raises(RunError, match=f"{path} is a part of the run in {run.path}"):
                with claim:
                    pytest.fail("claimed")
    project = tmp_path / "project"
    project.mkdir()
    (project / "config.json").write_text("{}")  # of something else
    for path in (run.path / "mine", project / "figures", tmp_path / "other"):
        with RunFolder(path).claimed(config):
            pass


def test_default_folders_of_two_sources_are_two(tmp_path):
    default = tmp_path / "checkpoint-seed0"
    for source, name in (("a", ""), ("b", "-2"), ("c", "-3"), ("b", "-2"), ("a", "")):
        output = RunFolder(default).unless_taken(source)
        assert output.path == tmp_path / f"checkpoint-seed0{name}"
        with output.claimed_for(source):
            pass


def test_results_over_a_users_files_are_refused_before_the_work(capsys, in_empty_folder):
    assert command(*MAML, "--output_dir=run") == 0
    for name, arguments in (
        ("evaluation.csv", ["--mode=evaluate", "--checkpoint=run"]),
        ("saved_model", ["--mode=export", "--checkpoint=run"]),
        ("table.md", ["--mode=report", "--runs=run"]),
    ):
        theirs = in_empty_folder / "theirs" / name
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_text("years of work")
        capsys.readouterr()
        assert command(*arguments, "--output_dir=theirs") == 1
        out, err = capsys.readouterr()
        assert name in err and "evaluating" not in out
        assert command(*arguments, f"--output_dir=theirs/{name}") == 1
        assert "is no folder" in capsys.readouterr().err
        assert theirs.read_text() == "years of work"
        theirs.unlink()


@pytest.mark.parametrize(
    "content", ["", "{", '{"domain": "regression_2mode"}', '["regression_2mode"]']
)
def test_a_damaged_config_is_one_line(capsys, in_empty_folder, content):
    (in_empty_folder / "run").mkdir()
    (in_empty_folder / "run" / "config.json").write_text(content)
    for arguments in (
        [*MAML, "--output_dir=run"],
        ["--mode=evaluate", "--output_dir=run"],
        ["--mode=report", "--runs=run"],
    ):
        assert command(*arguments) == 1
        message = capsys.readouterr().err
        assert message.count("\n") == 1 and "config.json" in message, message
    assert (in_empty_folder / "run" / "config.json").read_text() == content


def test_a_start_that_fails_leaves_the_config(tmp_path):
    """Its old command would be refused otherwise."""
    domain, folder = tiny_domain("maml", iterations=10), RunFolder(tmp_path / "run")
    with folder.claimed(domain.config):
        domain.train(domain.build_learner(), folder)
    for file in folder.checkpoints.glob("*.data*"):
        file.write_bytes(b"")
    before = folder.config_file.read_text()
    longer = tiny_domain("maml", iterations=40)
    with pytest.raises(RunError, match="damaged"), folder.claimed(longer.config):
        longer.train(longer.build_learner(), folder)
    assert folder.config_file.read_text() == before


def test_fewer_iterations_than_asked_before_go_on_where_none_is_lost(tmp_path):
    folder = RunFolder(tmp_path / "run")
    for iterations, reached in ((10, 10), (40, 40), (40, 40)):
        domain = tiny_domain("maml", iterations=iterations)
        with folder.claimed(domain.config):
            domain.train(domain.build_learner(), folder)
        assert folder.kept_iteration() == reached
    with pytest.raises(RunError, match="iterations is 40, not 20"):
        with folder.claimed(tiny_domain("maml", iterations=20).config):
            pytest.fail("claimed")


def test_unreadable_provenance_is_set_aside(tmp_path, caplog):
    folder = RunFolder(tmp_path / "run")
    for iterations in (10, 20):
        domain = tiny_domain("maml", iterations=iterations)
        with folder.claimed(domain.config):
            domain.train(domain.build_learner(), folder)
        folder.provenance_file.write_text("[{")
    assert (tmp_path / "run" / "unreadable-1-provenance.json").read_text() == "[{"
    assert "provenance.json is no JSON" in caplog.text


def test_what_a_killed_save_left_goes(tmp_path):
    domain, folder = tiny_domain("maml", iterations=10), RunFolder(tmp_path / "run")
    every = [folder.checkpoints / "ckpt-10_temp", folder.best_checkpoint / "ckpt-10_temp"]
    for left in every:
        left.mkdir(parents=True)
        (left / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    folder.keep(domain.config)
    with folder.claimed(domain.config):
        domain.train(domain.build_learner(), folder)
    assert not any(left.exists() for left in every) and folder.kept_iteration() == 10


def test_another_networks_checkpoint_is_called_that(tmp_path):
    small, folder = tiny_domain("maml", iterations=10), RunFolder(tmp_path / "run")
    with folder.claimed(small.config):
        small.train(small.build_learner(), folder)
    for units, words in (((8, 9), "is .* there, .* here"), ((8,), "it has 7 weights, this one 5")):
        other = tiny_domain("maml", hidden_units=units)
        with pytest.raises(RunError, match=f"ckpt-10 is of another network: .*{words}"):
            fit.restore(other.build_learner(), folder)


def test_home_is_home_and_the_net_is_refused(capsys, in_empty_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(in_empty_folder / "home"))
    assert command(*MAML, "--output_dir=~/run", "--iterations=10") == 0
    assert (in_empty_folder / "home" / "run" / "evaluation.csv").exists()
    assert not (in_empty_folder / "~").exists()
    assert command("--mode=report", "--runs=~/run", "--output_dir=report") == 0
    assert RunFolder("~/run").path == in_empty_folder / "home" / "run"
    assert RunFolder("./~nobody-here").path == Path("~nobody-here")
    capsys.readouterr()
    for flag, words in (
        ("--output_dir=", "is empty"),
        ("--output_dir=gs://bucket/run", "not on this machine"),
        ("--output_dir=s3://bucket/run", "not on this machine"),
        ("--output_dir=~nobody-here/run", "nobody-here is no user of this machine"),
        ("--checkpoint=", "is empty"),
        ("--checkpoint=gs://bucket/run", "not on this machine"),
        ("--data_dir=", "is empty"),
        ("--data_dir=gs://bucket/omniglot", "not on this machine"),
        ("--image_sets=a,", "is empty"),
        ("--image_sets=gs://bucket/a", "not on this machine"),
        ("--runs=a,,b", "is empty"),
    ):
        assert command(*MAML, flag) == 2
        message = capsys.readouterr().err
        name = flag[2:].partition("=")[0]
        assert words in message and name in message and message.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "place"),
    [
        (["--mode=evaluate", "--checkpoint=~/omniglot"], "omniglot"),
        (["--domain=omniglot", "--data_dir=~/archives"], "archives"),
        (["--domain=image_sets", "--image_sets=~/birds"], "birds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_home_is_home_wherever_a_folder_is_named(
    capsys, in_empty_folder, monkeypatch, flags, place
):
    monkeypatch.setenv("HOME", str(in_empty_folder / "home"))
    assert command(*flags) != 0
    message = capsys.readouterr().err
    assert str(in_empty_folder / "home" / place) in message and message.count("\n") == 1


@pytest.mark.slow
def test_two_commands_at_once(tmp_path, monkeypatch, capsys):
    """The second is refused while the first trains, and the first is not disturbed."""
    monkeypatch.chdir(tmp_path)
    arguments = [*MAML, "--iterations=1000000", "--output_dir=run"]
    first = start_command(*arguments, cwd=tmp_path)
    metrics = tmp_path / "run" / "metrics.csv"
    while not metrics.exists() and first.poll() is None:
        time.sleep(0.1)
    for extra in ([], ["--overwrite"]):
        assert command(*arguments, *extra) == 1
        assert f"in use by process {first.pid}" in capsys.readouterr().err
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=600)
    assert first.returncode == 130, err
    rows = [int(row.split(",")[0]) for row in metrics.read_text().splitlines()[1:]]
    assert rows == list(range(10, 10 * len(rows) + 1, 10))


def test_config_error_shows_lists_as_flags_do():
    assert str(ConfigError("hidden_units", (8, 8), "no")) == "--hidden_units=8,8: no"
