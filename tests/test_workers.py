"""Two workers on this machine, each a process of its own."""

import signal
import time

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmaml_tf.config import ConfigError
from mmaml_tf.devices.workers import ALONE, Workers
from mmaml_tf.reporting import actions
from mmaml_tf.training import provenance
from mmaml_tf.training.run_folder import RunFolder, saved_iterations
from tests import rl_problem
from tests.pair_program import measured
from tests.pairs import start_pair
from tests.runs import SCRIPT, tiny_domain, tiny_flags

DEADLINE = 600  # seconds, for a busy machine
GONE = "is gone, and its own last line may say why: give all 2 workers the same command again"


def ended(processes, timeout=DEADLINE):
    """The exit statuses, outputs and error outputs of processes that come to an end."""
    results = []
    try:
        for process in processes:
            out, errors = process.communicate(timeout=timeout)
            results.append((process.returncode, out, errors))
    finally:
        for process in processes:
            process.kill()
    return results


def arguments(iterations, *flags):
    flags = [*tiny_flags("maml"), f"--iterations={iterations}", "--output_dir=run", *flags]
    return ["--domain=regression_2mode", *flags]


def signalled_pair(number, index, cwd, iterations=100_000):
    """A run of two, of whom one gets a signal after a while; what `ended` says, and how soon."""
    processes = start_pair([str(SCRIPT), *arguments(iterations)], cwd=cwd)
    deadline = time.monotonic() + DEADLINE
    # Its first rows are of this start.
    while not (cwd / "run/metrics.csv").exists():
        assert all(process.poll() is None for process in processes), ended(processes)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    processes[index].send_signal(number)
    began = time.monotonic()
    return ended(processes), time.monotonic() - began


def checkpoint(folder):
    """The newest one's iteration and weights."""
    iteration = saved_iterations(folder / "checkpoints")[0]
    reader = tf.train.load_checkpoint(str(folder / f"checkpoints/ckpt-{iteration}"))
    names = sorted(n for n in reader.get_variable_to_shape_map() if n.startswith("weights/"))
    assert names
    return iteration, [reader.get_tensor(name) for name in names]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each of two workers measured, and what one process alone does."""
    folder = tmp_path_factory.mktemp("pair")
    pair = start_pair(["-m", "tests.pair_program", str(folder)], cwd=folder)
    for status, _, errors in ended(pair):
        assert status == 0, errors
    return [dict(np.load(folder / f"{index}.npz")) for index in range(2)], measured(ALONE)


@pytest.mark.parametrize(
    "name",
    ["regression gradient", "conv gradient", "rl gradient", "rl fisher product"],
)
def test_first_meta_gradients_are_those_of_one_process(results, name):
    workers, alone = results
    scale = np.abs(alone[name]).max()
    for worker in workers:
        np.testing.assert_allclose(worker[name] / scale, alone[name] / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "rounding"),
    [("regression", 1e-5), ("conv", 1e-5), ("rl", 1e-3)],  # TRPO's steps magnify it
)
def test_weights_are_the_same_bit_by_bit(results, name, rounding):
    workers, alone = results
    one, other = (worker[f"{name} weights"] for worker in workers)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one, alone[f"{name} weights"], rtol=0, atol=rounding)


def test_returns_do_not_depend_on_the_number_of_workers(results):
    workers, alone = results
    for worker in workers:
        np.testing.assert_allclose(worker["rl returns"], alone["rl returns"], rtol=1e-6)


def test_every_share_has_as_many_tasks_of_each_mode(results):
    for worker in results[0]:
        np.testing.assert_array_equal(worker["regression modes"], [0, 1])


def test_ctrl_c_on_one_stops_both_and_one_process_goes_on(tmp_path):
    results, _ = signalled_pair(signal.SIGINT, 1, tmp_path)
    iteration, _ = checkpoint(tmp_path / "run")
    line = f"run_experiment: stopped and saved at iteration {iteration}; the same command goes on"
    for status, _, errors in results:
        assert status == 130 and errors.strip().splitlines()[-1].startswith(line), errors
        assert "Traceback" not in errors and "WARNING" not in errors
    assert "worker 2 of 2, for the run in run" in results[1][1]
    # What only the first one writes is written once.
    rows = pd.read_csv(tmp_path / "run/metrics.csv")["iteration"]
    assert rows.tolist() == list(range(10, iteration + 1, 10))
    (start,) = provenance.held(tmp_path / "run/provenance.json")
    assert start["workers"] == 2 and start["iterations"] == iteration
    assert len(list((tmp_path / "run/tensorboard").rglob("events*"))) == 1
    # The number of workers is no setting of the run.
    domain = tiny_domain("maml", iterations=iteration + 10)
    folder = RunFolder(tmp_path / "run")
    with folder.claimed(domain.config):
        domain.train(domain.build_learner(), folder)
    assert checkpoint(tmp_path / "run")[0] == iteration + 10
    assert "workers" not in provenance.held(tmp_path / "run/provenance.json")[-1]


def kill(index, cwd):
    """Kills one of two, which ends the other with a line."""
    results, seconds = signalled_pair(signal.SIGKILL, index, cwd)
    assert seconds < 30
    status, _, errors = results[1 - index]
    assert status == 1 and errors.count("\n") == 1, errors
    assert errors.startswith(f"run_experiment: worker {index + 1} of 2 (127.0.0.1:")
    assert GONE in errors


def test_a_killed_worker_ends_the_first_one(tmp_path):
    kill(1, tmp_path)


@pytest.mark.slow
def test_a_killed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    kill(0, tmp_path / "killed")
    iterations = checkpoint(tmp_path / "killed/run")[0] + 30
    for name in ("killed", "whole"):
        pair = start_pair([str(SCRIPT), *arguments(iterations)], cwd=tmp_path / name)
        for status, _, errors in ended(pair):
            assert status == 0 and not errors, errors
    outcomes = [checkpoint(tmp_path / name / "run") for name in ("killed", "whole")]
    assert outcomes[0][0] == outcomes[1][0] == iterations
    for one, other in zip(outcomes[0][1], outcomes[1][1], strict=True):
        np.testing.assert_array_equal(one, other)
    tables = [pd.read_csv(tmp_path / name / "run/metrics.csv") for name in ("killed", "whole")]
    pd.testing.assert_frame_equal(*(t.drop(columns="iterations_per_second") for t in tables))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "line"),
    [
        ("--seed=1", "--seed: worker 2 of 2 has 1, the first one 0; give all workers the"),
        ("--output_dir=b", "worker 2 of 2 does not see the run folder of the first one"),
    ],
)
def test_workers_that_do_not_fit_together(other, line, tmp_path):
    first = [str(SCRIPT), *arguments(30)]
    for status, _, errors in ended(start_pair(first, [*first, other], cwd=tmp_path)):
        assert status == 1 and errors.startswith(f"run_experiment: {line}"), errors
        assert errors.count("\n") == 1
    assert not list(tmp_path.glob("*/checkpoints/ckpt-*"))


def test_a_batch_is_shared_among_workers_and_modes(tmp_path):
    domain = tiny_domain("multi_maml", meta_batch_size=6)
    line = "--meta_batch_size=6: must be a multiple of 4 for 2 workers x 2 modes, such as 8"
    with pytest.raises(ConfigError, match=line):
        actions.train(domain, RunFolder(tmp_path), workers=Workers(0, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_reinforcement_learning_and_its_evaluation(tmp_path):
    flags = ["--domain=navigation_2d", *rl_problem.tiny_flags("maml"), "--meta_batch_size=4"]
    pair = start_pair([str(SCRIPT), *flags, "--output_dir=run"], cwd=tmp_path)
    for status, _, errors in ended(pair):
        assert status == 0 and not errors, errors
    assert pd.read_csv(tmp_path / "run/metrics.csv")["iteration"].tolist() == [1, 2]
    assert (tmp_path / "run/evaluation.csv").exists()
    assert (tmp_path / "run/saved_model/saved_model.pb").exists()
