"""Training: resume, interruption, damage, and numbers that are not finite."""

import io
import signal
import time
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import mmaml_tf as mm
from mmaml_tf.errors import NonFiniteLossError, RunError
from mmaml_tf.reporting import actions
from mmaml_tf.training import callbacks, fit, provenance
from mmaml_tf.training.run_folder import RunFolder
from tests.runs import start_command, tiny_domain, tiny_flags

TIMELESS = ["iteration", "loss", "support_loss"]


def train(folder, method="maml", **settings):
    domain = tiny_domain(method, **settings)
    learner = domain.build_learner()
    with folder.claimed(domain.config):
        domain.train(learner, folder)
    return learner


def assert_same_training(learner, other):
    for a, b in zip(learner.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
    for a, b in zip(learner.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


@pytest.mark.parametrize("method", ["maml", "multi_maml", "mumomaml"])
def test_extended_run_equals_uninterrupted_bitwise(tmp_path, method):
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    expected = train(whole, method=method)
    train(parts, method=method, iterations=10)
    resumed = train(parts, method=method)
    assert_same_training(resumed, expected)
    for folder in (whole, parts):
        assert pd.read_csv(folder.metrics.path)["iteration"].tolist() == [10, 20, 30]
    pd.testing.assert_frame_equal(
        pd.read_csv(whole.metrics.path)[TIMELESS], pd.read_csv(parts.metrics.path)[TIMELESS]
    )


def test_provenance_has_an_entry_per_start_that_made_iterations(tmp_path):
    folder = RunFolder(tmp_path)
    for iterations in (20, 20, 30):
        train(folder, iterations=iterations)
    entries = provenance.held(folder.provenance_file)
    assert [entry["iterations"] for entry in entries] == [20, 30]
    assert all(entry["seconds"] >= 0 and entry["command"] for entry in entries)
    assert entries[0]["versions"]["tensorflow"] == tf.__version__


def test_the_seed_decides_on_the_weights_and_the_tasks():
    domains = [tiny_domain("maml", seed=seed) for seed in (0, 1, 0)]
    kernels = [domain.build_learner().network.model.layers[-1].kernel for domain in domains]
    inputs = [domain.training_tasks(3).support.x for domain in domains]
    for one, other, again in (kernels, inputs):
        np.testing.assert_array_equal(one, again)
        assert not np.any(one == other.numpy())


def test_published_initial_weights():
    model = tiny_domain("maml", hidden_units=(100, 100)).build_learner().network.model
    kernel = model.get_layer("hidden_1").kernel.numpy()
    # The standard error of the deviation of 10,000 draws is 0.7%.
    np.testing.assert_allclose(kernel.std(), 0.01, rtol=0.03)


def test_settings_reach_the_learner():
    limits = dict(inner_clip_norm=0.5, meta_clip_norm=1.5, meta_clip_value=0.25)
    learner = tiny_domain("maml", first_order=True, jit_compile=True, **limits).build_learner()
    assert learner.inner_loop.first_order and learner.jit_compile
    found = learner.inner_loop.clip_norm, learner.meta_clip_norm, learner.meta_clip_value
    assert found == tuple(limits.values())


@pytest.mark.parametrize(
    ("schedule", "halfway", "at_the_end"),
    [("constant", 1.0, 1.0), ("cosine", 0.5, 0.0), ("linear", 0.5, 0.0)],
)
def test_schedules_are_laid_out_over_the_run(schedule, halfway, at_the_end):
    settings = dict(lr_schedule=schedule, meta_lr=0.01, iterations=40)
    optimizer = tiny_domain("maml", **settings).build_learner().optimizer
    rates = []
    for iteration in (0, 20, 40):
        optimizer.iterations.assign(iteration)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, [0.01, 0.01 * halfway, 0.01 * at_the_end], atol=1e-9)


def test_the_end_need_not_wait_for_a_tuner(tmp_path, monkeypatch):
    """Whose thread sleeps for a minute at a time, once a run is that long."""
    streams = []
    monkeypatch.setattr(mm.MAML, "fit", lambda self, tasks, **_: streams.append(tasks))
    train(RunFolder(tmp_path))
    own = mm.tasks.from_function(lambda seed: (np.zeros([4, 1]),) * 2, num_tasks=2, num_shots=2)
    assert [tasks.options().autotune.enabled for tasks in (*streams, own)] == [False, False]


def test_training_learns_and_seeds_matter(tmp_path):
    settings = dict(method="mumomaml", iterations=300, log_every=50, checkpoint_every=100)
    settings |= dict(meta_lr=0.01)
    learner = train(RunFolder(tmp_path / "a"), **settings)
    losses = pd.read_csv(tmp_path / "a" / "metrics.csv")["loss"]
    assert losses.iloc[-1] < 0.75 * losses.iloc[0]
    other = train(RunFolder(tmp_path / "b"), seed=1, **settings)
    assert np.any(learner.trainable_variables[0] != other.trainable_variables[0].numpy())


def test_multi_maml_trains_each_mode_as_it_would_alone(tmp_path):
    """Its meta-gradient for one mode's model is that of a MAML seeing only that mode."""
    learner = tiny_domain("multi_maml", meta_clip_norm=None).build_learner()
    alone = tiny_domain("maml", meta_clip_norm=None).build_learner()
    batch = tiny_domain("multi_maml").training_tasks(0)
    half = tf.nest.map_structure(lambda t: t[2:], batch)
    alone.network.model.set_weights(learner.network.models[1].get_weights())
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(learner.meta_loss(batch)[0])
    together = learner.clip_meta_gradient(tape.gradient(loss, learner.network.groups[1]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(alone.meta_loss(half)[0])
    separately = tape.gradient(loss, alone.network.trainable_variables)
    for a, b in zip(together, separately, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("every", "lines"), [(60.0, 1), (0.0, 4)])
def test_progress_in_a_log_file_comes_within_a_long_interval(monkeypatch, every, lines):
    monkeypatch.setattr(callbacks, "PROGRESS_EVERY", every)
    stream = io.StringIO()
    progress = callbacks.Progress(9, stream)
    progress.set_model(SimpleNamespace(optimizer=SimpleNamespace(iterations=0)))
    for iteration in range(1, 4):
        progress.model.optimizer.iterations = iteration
        progress.on_train_batch_end(iteration, {"loss": 0.5})
    progress.on_epoch_end(0, {"loss": 0.5, "validation": 0.25})
    written = stream.getvalue().splitlines()
    assert len(written) == lines
    assert written[-1].startswith("3/9  loss 0.5000  validation 0.2500")


@pytest.mark.slow
def test_interrupted_then_killed_then_resumed_equals_uninterrupted(tmp_path):
    """Ctrl-C exits 130 with everything saved; kill -9 loses no more than since a checkpoint."""
    arguments = ["--domain=regression_2mode", *tiny_flags(), "--iterations=1500"]

    def metrics_rows():
        file = tmp_path / "run" / "metrics.csv"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def run_until(rows, number):
        process = start_command(*arguments, "--output_dir=run", cwd=tmp_path)
        deadline = time.monotonic() + 600  # for a busy machine
        while metrics_rows() < rows and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=600)
        return process.returncode, err

    status, message = run_until(8, signal.SIGINT)
    assert status == 130, message
    assert "the same command goes on" in message
    assert "Traceback" not in message
    interrupted_at = metrics_rows()
    assert run_until(interrupted_at + 5, signal.SIGHUP)[0] == 130  # the terminal was closed
    interrupted_at = metrics_rows()
    assert run_until(interrupted_at + 5, signal.SIGKILL)[0] == -signal.SIGKILL
    *_, killed = provenance.held(tmp_path / "run" / "provenance.json")
    # The last row may have been written, and provenance.json not yet.
    assert killed["iterations"] >= 10 * (interrupted_at + 3)

    for folder in ("run", "whole"):
        process = start_command(*arguments, f"--output_dir={folder}", cwd=tmp_path)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        assert ("resuming at iteration" in out) == (folder == "run")
        assert "ETA" in out
        assert "it/s" in out
    run, whole = (pd.read_csv(tmp_path / f / "metrics.csv")[TIMELESS] for f in ("run", "whole"))
    pd.testing.assert_frame_equal(run, whole)
    assert (tmp_path / "run" / "evaluation.csv").read_bytes() == (
        tmp_path / "whole" / "evaluation.csv"
    ).read_bytes()
    readers = [
        tf.train.load_checkpoint(str(tmp_path / f / "checkpoints" / "ckpt-1500"))
        for f in ("run", "whole")
    ]
    names = readers[0].get_variable_to_shape_map()
    assert any("optimizer" in name for name in names)
    for name in names.keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter"}:
        np.testing.assert_array_equal(*(reader.get_tensor(name) for reader in readers))


def damage(folder, iteration):
    file = folder.checkpoints / f"ckpt-{iteration}.data-00000-of-00001"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    file.write_bytes(content)


def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    folder = RunFolder(tmp_path / "run")
    expected = train(folder, "mumomaml")
    damage(folder, 30)
    domain = tiny_domain("mumomaml")
    assert fit.restore(domain.build_learner(), folder) == 20
    assert not list(folder.checkpoints.glob("damaged-*"))  # reading renames nothing
    resumed = train(folder, "mumomaml")
    assert "ckpt-30" in caplog.text
    assert "damaged" in caplog.text
    assert_same_training(resumed, expected)
    assert list(folder.checkpoints.glob("damaged-1-ckpt-30.*"))
    assert pd.read_csv(folder.metrics.path)["iteration"].tolist() == [10, 20, 30]


@pytest.mark.parametrize("how", ["damaged", "truncated", "index gone"])
def test_all_checkpoints_unusable_is_an_error_and_keeps_them(tmp_path, how):
    folder = RunFolder(tmp_path / "run")
    train(folder)
    for iteration in (10, 20, 30):
        if how == "damaged":
            damage(folder, iteration)
        elif how == "truncated":
            (folder.checkpoints / f"ckpt-{iteration}.data-00000-of-00001").write_bytes(b"")
        else:
            (folder.checkpoints / f"ckpt-{iteration}.index").unlink()
    files = sorted(folder.checkpoints.iterdir())
    with pytest.raises(RunError, match="every checkpoint in .* is damaged .*ckpt-30"):
        train(folder)
    assert sorted(folder.checkpoints.iterdir()) == files


def test_a_checkpoint_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    train(folder)
    files = sorted(folder.checkpoints.iterdir())
    denied = tf.errors.PermissionDeniedError(None, None, "ckpt-30.index; Permission denied")
    monkeypatch.setattr(tf.train.Checkpoint, "read", Mock(side_effect=denied))
    with pytest.raises(RunError, match="ckpt-30 can't be read: .*Permission denied"):
        train(folder)
    assert sorted(folder.checkpoints.iterdir()) == files


def test_a_checkpoint_says_its_iteration_itself(tmp_path):
    folder = RunFolder(tmp_path / "run")
    train(folder)
    for file in folder.checkpoints.glob("ckpt-30.*"):
        file.rename(file.with_name(file.name.replace("30", "25")))
    with pytest.raises(RunError, match="ckpt-25 is of iteration 30: give it its name back"):
        train(folder)


def test_files_that_are_only_called_like_checkpoints_stay(tmp_path):
    folder = RunFolder(tmp_path / "run")
    train(folder, iterations=20)
    theirs = [folder.checkpoints / name for name in ("ckpt-10.index.bak", "ckpt-25.txt")]
    theirs.append(folder.checkpoints / "damaged-1-ckpt-20.index")
    for file in theirs:
        file.write_text("notes")
    (folder.checkpoints / "ckpt-10.backup").mkdir()
    damage(folder, 20)
    train(folder, iterations=60)
    assert (folder.checkpoints / "damaged-2-ckpt-20.index").exists()
    assert not (folder.checkpoints / "ckpt-10.index").exists()  # older ones go
    assert all(file.read_text() == "notes" for file in theirs)
    assert (folder.checkpoints / "ckpt-10.backup").is_dir()


def test_a_folder_that_tensorflow_takes_for_a_pattern_is_refused_at_once(tmp_path):
    with pytest.raises(RunError, match=r"a path with \[, which it takes for a pattern"):
        train(RunFolder(tmp_path / "lr[0.1]"))


def test_vanished_checkpoints_are_an_error_not_a_fresh_start(tmp_path):
    folder = RunFolder(tmp_path / "run")
    train(folder)
    for file in folder.checkpoints.iterdir():
        file.unlink()
    with pytest.raises(RunError, match="its checkpoints are gone"):
        train(folder)
    with pytest.raises(RunError, match="holds no checkpoint"):
        actions.evaluate(tiny_domain("maml"), folder, folder)


def test_non_finite_loss_stops_names_the_iteration_and_keeps_the_checkpoint(tmp_path):
    domain = tiny_domain("maml", checkpoint_every=10, inner_clip_norm=None)
    learner = domain.build_learner()
    folder = RunFolder(tmp_path / "run")

    def poisoned(iteration):
        batch = type(domain).training_tasks(domain, iteration)
        bad = tf.where(iteration == 14, np.nan, 0.0)
        return batch._replace(query=batch.query._replace(y=batch.query.y + tf.cast(bad, "float32")))

    domain.training_tasks = poisoned
    error = pytest.raises(NonFiniteLossError, match="not finite at iteration 15")
    with error, folder.claimed(domain.config):
        domain.train(learner, folder)
    assert {p.stem for p in folder.checkpoints.glob("*.index")} == {"ckpt-0", "ckpt-10"}
    assert [entry["iterations"] for entry in provenance.held(folder.provenance_file)] == [10]
    restored = tiny_domain("maml", inner_clip_norm=None).build_learner()
    assert fit.restore(restored, folder) == 10
    assert all(np.all(np.isfinite(v)) for v in restored.trainable_variables)


def test_partial_metrics_row_is_dropped_on_resume(tmp_path):
    folder = RunFolder(tmp_path / "run")
    train(folder, iterations=20)
    with folder.metrics.path.open("a") as file:
        file.write("30,0.1")  # killed in mid-write
    train(folder)
    assert pd.read_csv(folder.metrics.path)["iteration"].tolist() == [10, 20, 30]


def test_unreachable_variable_is_an_error():
    learner = tiny_domain("mumomaml").build_learner()
    learner.modulate = lambda support: (None, None)  # omega has no effect any more
    with pytest.raises(ValueError, match="no meta-gradient reaches .*lstm"):
        learner.train_step(tiny_domain().training_tasks(0))


def test_metrics_keep_the_columns_they_started_with(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.metrics.column("loss") == []
    folder.metrics.append({"iteration": 1, "loss": 0.5, "dropped": 3})
    folder.metrics.append({"iteration": 2, "new": 7, "loss": 0.25})
    assert folder.metrics.path.read_text() == "iteration,loss,dropped\n1,0.5,3\n2,0.25,\n"
    assert folder.metrics.column("loss") == [0.5, 0.25] and folder.metrics.column("dropped") == [
        3.0
    ]
