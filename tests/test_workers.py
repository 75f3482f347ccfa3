"""Two workers on this machine, each a process of its own."""

import time

import numpy as np
import pytest

from mmaml_tf.devices.workers import ALONE
from tests.pair_program import measured
from tests.pairs import start_pair
from tests.runs import SCRIPT, tiny_flags

DEADLINE = 600  # seconds, for a busy machine
LONG = ["--iterations=100000", "--log_every=20", "--checkpoint_every=20"]


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


def train_pair(*flags, cwd, method="maml"):
    arguments = ["--domain=regression_2mode", *tiny_flags(method), "--output_dir=run", *flags]
    return start_pair([str(SCRIPT), *arguments], cwd=cwd)


def until_it_logs(processes, folder):
    """Waits for the first rows of metrics.csv."""
    deadline = time.monotonic() + DEADLINE
    while not (folder / "metrics.csv").exists():
        assert all(process.poll() is None for process in processes), ended(processes)
        assert time.monotonic() < deadline
        time.sleep(0.1)


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
    ["maml gradient", "multi_maml gradient", "conv gradient", "rl gradient", "rl fisher product"],
)
def test_first_meta_gradients_are_those_of_one_process(results, name):
    workers, alone = results
    scale = np.abs(alone[name]).max()
    for worker in workers:
        np.testing.assert_allclose(worker[name] / scale, alone[name] / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["maml", "multi_maml", "conv", "rl"])
def test_weights_are_the_same_bit_by_bit(results, name):
    workers, alone = results
    one, other = (worker[f"{name} weights"] for worker in workers)
    np.testing.assert_array_equal(one, other)
    # Rounding errors grow, and the steps of an optimizer are as large as they are small.
    np.testing.assert_allclose(one, alone[f"{name} weights"], rtol=0, atol=1e-3)


def test_returns_do_not_depend_on_the_number_of_workers(results):
    workers, alone = results
    for worker in workers:
        np.testing.assert_allclose(worker["rl returns"], alone["rl returns"], rtol=1e-3)
        np.testing.assert_allclose(worker["rl returns"][:, 0], alone["rl returns"][:, 0], rtol=1e-6)


def test_every_share_has_as_many_tasks_of_each_mode(results):
    for worker in results[0]:
        np.testing.assert_array_equal(worker["multi_maml modes"], [0, 1])
