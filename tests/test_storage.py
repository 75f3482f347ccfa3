"""A full disk and too little memory: one line that says what is needed, and nothing is lost."""

import dataclasses
import errno
import os
from unittest.mock import Mock

import pytest
import tensorflow as tf

from flags.omniglot_config import OmniglotConfig
from flags.omniglot_config import paper_settings as omniglot_settings
from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.rl.config import RlConfig
from mmaml_tf.rl.config import paper_settings as rl_settings
from mmaml_tf.training import checkpoints, storage
from mmaml_tf.training.run_files import write_atomically
from mmaml_tf.training.run_folder import RunFolder
from tests.runs import command, tiny_domain, tiny_flags

REGRESSION = tiny_domain().config
NO_SPACE = os.strerror(errno.ENOSPC)
FULL = [
    OSError(errno.ENOSPC, NO_SPACE),
    tf.errors.ResourceExhaustedError(None, None, f"/some/file; {NO_SPACE}"),
    tf.errors.UnknownError(None, None, f"write failed: {NO_SPACE}"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_a_full_disk_names_the_place_and_the_size(tmp_path, error):
    with pytest.raises(RunError, match=r"disk full: 3.0 MB needed at .*/new/file, .* free"):
        with storage.writing(tmp_path / "new" / "file", 3 * 2**20):
            raise error
    with pytest.raises(RunError, match="disk full: 1 kB needed"), storage.writing(tmp_path, 100):
        raise error
    for number, words in (
        (errno.EDQUOT, "quota of the disk is full: 1 kB needed at [^,]*; what"),
        (errno.EFBIG, "no file may be so large here .ulimit -f.: 1 kB needed at [^,]*; what"),
    ):
        for limited in (
            OSError(number, ""),
            tf.errors.UnknownError(None, None, os.strerror(number)),
        ):
            with pytest.raises(RunError, match=words), storage.writing(tmp_path, 100):
                raise limited
    with pytest.raises(PermissionError), storage.writing(tmp_path, 1):
        raise PermissionError


def test_a_lock_that_does_not_fit_is_none(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", Mock(side_effect=FULL[0]))
        with pytest.raises(RunError, match=r"disk full: 1 kB needed at .*run/\.run\.lock"):
            with folder.locked():
                pytest.fail("locked")
    with folder.locked():
        pass


def test_what_is_there_stays_until_the_new_is_whole(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    write_atomically(file, "old")
    folder.mkdir()
    (folder / "old").write_text("")
    theirs = tmp_path / "partial-folder"
    theirs.write_text("of a user")
    for path in (file, folder):
        with pytest.raises(RunError, match="disk full"), storage.replacing(path, 1) as partial:
            partial.write_text("half")
            raise OSError(errno.ENOSPC, NO_SPACE)
    assert file.read_text() == "old" and list(folder.iterdir()) == [folder / "old"]
    with storage.replacing(folder, 1) as partial:
        partial.mkdir()
        (partial / "new").write_text("")
    assert list(folder.iterdir()) == [folder / "new"]
    with pytest.raises(IsADirectoryError):
        write_atomically(folder, "a file")
    assert list(folder.iterdir()) == [folder / "new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", theirs.name]


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path, monkeypatch):
    domain, folder = tiny_domain("maml", iterations=10), RunFolder(tmp_path)
    with folder.claimed(domain.config):
        domain.train(domain.build_learner(), folder)
    before = sorted(path.name for path in folder.checkpoints.iterdir())
    learner = domain.build_learner()
    saving = checkpoints.Checkpoints(folder.checkpoints, learner)

    def full(prefix):
        (folder.checkpoints / "ckpt-20.data-00000-of-00001").write_bytes(b"half")
        raise FULL[1]

    monkeypatch.setattr(saving._checkpoint, "write", full)
    with pytest.raises(RunError, match=r"disk full: .* needed at .*ckpt-20"):
        saving.save(20)
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == before


OMNIGLOT = OmniglotConfig(**omniglot_settings("mumomaml"))
NAVIGATION = RlConfig(**rl_settings("navigation_2d", "mumomaml", ("near", "far")))


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (REGRESSION, dict(meta_batch_size=2**30)),
        (REGRESSION, dict(num_shots=2**30)),
        (REGRESSION, dict(eval_queries=2**30)),  # found before the training, not after it
        (REGRESSION, dict(hidden_units=(2**20, 2**20))),
        (REGRESSION, dict(hidden_units=(2**30,))),
        (REGRESSION, dict(bias_transformation_size=2**30)),
        (REGRESSION, dict(encoder_units=2**20)),
        (OMNIGLOT, dict(meta_batch_size=2**30)),
        (OMNIGLOT, dict(filters=(2**24,))),
        (OMNIGLOT, dict(filters=(2**20, 2**20), network="mlp")),
        (OMNIGLOT, dict(encoder_filters=(2**24,))),
        (OMNIGLOT, dict(embedding_units=2**30)),
        (NAVIGATION, dict(rollouts=2**24)),
        (NAVIGATION, dict(embedding_trajectories=2**24)),
        (NAVIGATION, dict(hidden_units=(2**24,))),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.domain,
)
def test_what_no_machine_holds_is_said_at_once(monkeypatch, config, settings):
    """On one with 64 GB, whichever this is."""
    pages = {"SC_PAGE_SIZE": 2**12, "SC_PHYS_PAGES": 2**24}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    config = dataclasses.replace(config, **settings)
    (name,) = set(settings) - {"network"}
    with pytest.raises(ConfigError, match=rf"--{name}=.* needs [\d,]+ GB of memory .*: lower it"):
        with storage.within_memory(config):
            pytest.fail("begun")


@pytest.mark.parametrize("config", [REGRESSION, OMNIGLOT, NAVIGATION], ids=lambda c: c.domain)
def test_the_papers_settings_need_little_memory(config):
    assert max(config.largest_arrays().values()) * storage.BYTES_PER_NUMBER < 2**30


def test_out_of_memory_says_what_to_lower():
    config = tiny_domain().config
    for error in (MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM")):
        with pytest.raises(RunError, match="out of memory: lower .*--meta_batch_size"):
            with storage.within_memory(config):
                raise error


def test_what_a_method_has_not_is_not_to_be_lowered():
    for method, is_named in (("mumomaml", True), ("maml", False)):
        with pytest.raises(RunError) as error, storage.within_memory(tiny_domain(method).config):
            raise MemoryError
        assert ("--encoder_units" in str(error.value)) == is_named
        assert "--eval_shots" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("keras.callbacks.TensorBoard.on_epoch_end", "disk full: 1.0 MB needed at run,"),
        ("mmaml_tf.regression.domain.RegressionDomain.export", "needed at run/saved_model,"),
        ("matplotlib.figure.Figure.savefig", "needed at run/figures/training.png"),
    ],
)
def test_a_full_disk_is_one_line_wherever_it_is_met(tmp_path, monkeypatch, capsys, place, words):
    monkeypatch.chdir(tmp_path)
    base = ["--domain=regression_2mode", *tiny_flags("maml"), "--iterations=10"]
    with monkeypatch.context() as full:
        full.setattr(place, Mock(side_effect=FULL[2]))
        assert command(*base, "--output_dir=run") == 1
    message = capsys.readouterr().err
    assert "disk full" in message and words in message and message.count("\n") == 1
    assert command(*base, "--output_dir=run") == 0  # what was saved stands
    assert not list((tmp_path / "run").rglob(".partial-*"))
    with monkeypatch.context() as full:
        full.setattr("matplotlib.figure.Figure.savefig", Mock(side_effect=FULL[0]))
        assert command("--mode=report", "--runs=run", "--output_dir=report") == 1
    assert "disk full" in capsys.readouterr().err
