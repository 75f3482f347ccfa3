"""TF_CONFIG, shares of a batch, what workers must agree on, and how `fit` calls them."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf import devices
from mmaml_tf.config import ConfigError
from mmaml_tf.devices import agreement, cluster, slurm
from mmaml_tf.devices.cluster import Cluster
from mmaml_tf.devices.train_function import train_function
from mmaml_tf.devices.watch import Watch
from mmaml_tf.devices.workers import ALONE, Workers
from mmaml_tf.errors import RunError
from tests.pairs import ROOT
from tests.rl_problem import tiny_domain as tiny_rl_domain
from tests.runs import SCRIPT, command, tiny_domain, tiny_flags

PAIR = ["a:1", "b:2"]
DEADLINE = 60  # seconds, for a busy machine


def tf_config(jobs=None, kind="worker", index=0, **others):
    jobs = {"worker": PAIR} if jobs is None else jobs
    return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}} | others)


def read(text):
    return cluster.from_environment({"TF_CONFIG": text})


def test_tf_config():
    assert cluster.from_environment({}) is None
    assert read(" ") is None and read(tf_config({"worker": ["a:1"]})) is None  # one alone
    assert read(tf_config(index=1)) == Cluster(("a:1", "b:2"), 1)
    # As Kubeflow sets it.
    jobs = {"chief": ["c:1"], "worker": PAIR}
    assert read(tf_config(jobs, "chief", environment="cloud")) == Cluster(("c:1", "a:1", "b:2"), 0)
    assert read(tf_config(jobs, index=1)) == Cluster(("c:1", "a:1", "b:2"), 2)


def test_each_process_of_a_machine_has_a_device_of_its_own():
    addresses = ("a:1", "b:1", "a:2", "b:2", "a:3")
    assert [Cluster(addresses, index).device for index in range(5)] == [0, 0, 1, 1, 2]


MALFORMED = [
    ("{", "is no JSON"),
    ("[]", "is []"),
    ('{"task": {"type": "worker", "index": 0}}', "cluster is missing"),
    ('{"cluster": {"worker": ["a:1"]}}', "task is missing"),
    (tf_config({"worker": "a:1"}), "cluster worker is 'a:1'"),
    (tf_config(kind="evaluator"), "task type is 'evaluator'"),
    (tf_config({"ps": ["c:1"], "worker": PAIR}), "cluster has ps"),
    (tf_config({"chief": PAIR, "worker": PAIR}), "more than one chief"),
    (tf_config(index=2), "task is worker 2"),
    (tf_config(index=-1), "task index is -1"),
    (tf_config({"worker": ["a:1", "b"]}), "'b' must be a host:port"),
    (tf_config({"worker": ["a:1", "a:1"]}), "'a:1' must be a host:port of its own"),
]


@pytest.mark.parametrize(("text", "words"), MALFORMED)
def test_malformed_tf_config(text, words):
    with pytest.raises(RunError) as error:
        read(text)
    assert words in str(error.value) and "It must be like {" in str(error.value)
    assert "\n" not in str(error.value)


def test_malformed_tf_config_is_one_line_of_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_CONFIG", "{")
    assert command("--domain=regression_2mode", *tiny_flags("maml")) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_only_the_first_worker_evaluates_exports_and_reports(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--domain=regression_2mode", "--method=maml"]
    for mode in ("evaluate", "export"):
        monkeypatch.setenv("TF_CONFIG", tf_config(index=1))
        capsys.readouterr()
        assert command(*arguments, f"--mode={mode}") == 0
        assert f"--mode={mode} is the first worker's" in capsys.readouterr().out
        monkeypatch.setenv("TF_CONFIG", tf_config(index=0))
        assert command(*arguments, f"--mode={mode}") == 1  # there is none


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shares_are_the_batch_balanced_and_sorted(count):
    batch = tiny_domain("multi_maml", meta_batch_size=12).training_tasks(tf.constant(0))
    shares = [Workers(index, count).share(batch) for index in range(count)]
    for share in shares:
        assert np.array_equal(share.mode, np.repeat([0, 1], 6 // count))
    for parts, whole in zip(
        zip(*map(tf.nest.flatten, shares), strict=True), tf.nest.flatten(batch), strict=True
    ):
        together = np.stack(parts, 1).reshape(whole.shape)
        np.testing.assert_array_equal(together, whole)
    assert Workers(0, count).share(tf.constant(7)) == 7


def test_shares_of_reinforcement_learning_meet_what_the_whole_batch_does():
    """Whoever plays beside: goals, initial states and noise are each task's own."""
    domain = tiny_rl_domain("maml", "cheetah_speed", meta_batch_size=4)

    def steady(observations):
        return np.full((*observations.shape[:2], 12), 0.1, np.float32)

    whole = domain.training_tasks(3).act(steady)
    shares = [domain.training_tasks(3).share(index, 2).act(steady) for index in range(2)]
    for part, *parts in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(np.stack(parts, 1).reshape(part.shape), part)
    assert np.abs(whole.observations[0] - whole.observations[1]).max() > 0


@pytest.mark.parametrize(
    ("count", "num_modes", "words"),
    [(2, 1, "multiple of 2 for 2 workers, such as 52"), (2, 3, "6 for 2 workers x 3 modes")],
)
def test_batches_that_workers_do_not_divide(count, num_modes, words):
    Workers(0, count).require_shares(60, num_modes)
    with pytest.raises(ConfigError, match=f"--meta_batch_size=51: must be a .*{words}"):
        Workers(0, count).require_shares(51, num_modes)
    ALONE.require_shares(51)


class Beside(Workers):
    """The first of two; the other one has what it is made with."""

    def __init__(self, others):
        super().__init__(0, 2)
        self.others = others

    def gathered(self, text):
        return [text, json.dumps(self.others)]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"seed": "1", "mean": 0.5}, "seed: worker 2 of 2 has 1, the first one 0; do so"),
        ({"seed": "0", "mean": 0.501}, "mean: worker 2 of 2 has 0.501"),
        ({"seed": "0"}, "mean: worker 2 of 2 has none"),
        ({"seed": "0", "mean": 0.5, "new": 1}, "new: worker 2 of 2 has 1, the first one none"),
        ({"seed": "0", "mean": 0.500001}, None),
    ],
)
def test_agreement(others, words):
    facts = {"seed": "0", "mean": 0.5}
    expected = contextlib.nullcontext() if words is None else pytest.raises(RunError, match=words)
    with expected:
        agreement.require_agreement(Beside(others), facts, "do so")


def test_digest_and_summary_tell_weights_and_data_apart():
    domain = tiny_domain("maml")
    weights = domain.build_learner().trainable_variables
    before, summary = agreement.digest(weights), agreement.summary(domain.training_tasks(0))
    assert agreement.digest(weights) == before
    weights[0].assign_add(tf.fill(weights[0].shape, 1e-7))
    assert agreement.digest(weights) != before
    with pytest.raises(RunError, match="mean of tasks"):
        others = agreement.summary(domain.training_tasks(1))
        agreement.require_agreement(Beside(others), summary, "")


@pytest.mark.parametrize("compiled", [False, True])
def test_fit_trains_as_with_kerass_own_function(compiled):
    """Seven steps, three in a call: the last call makes one."""
    weights, losses = [], []
    for ours in (False, True):
        domain = tiny_domain("maml", jit_compile=compiled and ours)
        learner = domain.build_learner()
        learner.steps_per_execution = 3
        if ours:
            learner.train_function = train_function(learner)
        tasks = tf.data.Dataset.range(7).map(domain.training_tasks)
        losses.append(learner.fit(tasks, verbose=0).history["loss"])
        assert learner.optimizer.iterations == 7
        weights.append(np.concatenate([np.ravel(w) for w in learner.get_weights()]))
    # TensorFlow and XLA rewrite each graph in their own way, to other last digits; a step, which is
    # as large as the learning rate of 1e-3, must not be missing.
    np.testing.assert_allclose(*weights, rtol=0, atol=1e-6)
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_slurms_variables(monkeypatch):
    variables = {"PROCID": "2", "STEP_NUM_TASKS": "3", "STEP_NODELIST": "n[1-2]"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(RuntimeError, match="SLURM_STEP_TASKS_PER_NODE"):
        slurm.tf_config()
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "2,1")
    assert read(slurm.tf_config()) == Cluster(("n1:8888", "n1:8889", "n2:8888"), 2)


def test_help_and_readme_have_the_same_block(capsys):
    assert command("--help") == 0
    assert devices.__doc__ in capsys.readouterr().out
    assert devices.__doc__.strip().count("\n") <= 11  # ten lines and two empty ones
    readme = SCRIPT.with_name("README.md").read_text()
    assert devices.__doc__.strip() in readme.replace("`TF_CONFIG`", "TF_CONFIG")


def test_watch_ends_a_process_whose_fellow_is_gone():
    program = f"""
import socket, time
from mmaml_tf.devices.watch import Watch

with socket.create_server(("127.0.0.1", 0)) as fellow:
    address = "127.0.0.1:%d" % fellow.getsockname()[1]
    watch = Watch([address], lambda gone: f"{{gone == address}}: gone", every=0.05)
    watch.start()
    time.sleep(0.5)
    print("there", flush=True)
time.sleep({DEADLINE})
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "there\n",
        "run_experiment: True: gone\n",
    )


def test_watch_that_was_ended_looks_no_more():
    watch = Watch(["127.0.0.1:1"], lambda gone: "gone", every=0.05)
    watch.end()
    watch.start()  # or this process ends
    watch.join(DEADLINE)
    assert not watch.is_alive() and watch.has_ended


def test_one_that_answers_for_a_moment_yet_is_found_gone(monkeypatch):
    monkeypatch.setattr("mmaml_tf.devices.watch.PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as fellow:
        address = f"127.0.0.1:{fellow.getsockname()[1]}"
        watch = Watch([address], lambda gone: "gone")
        threading.Timer(0.3, fellow.close).start()
        assert watch.gone() == [] and watch.gone_soon() == [address]
    with socket.create_server(("127.0.0.1", 0)) as alive:
        watch = Watch([f"127.0.0.1:{alive.getsockname()[1]}"], lambda gone: "gone")
        assert watch.gone_soon() == []


def test_a_port_in_use_is_a_line(tmp_path):
    with socket.create_server(("", 0)) as taken:
        config = tf_config({"worker": [f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:1"]})
        environment = os.environ | {"TF_CONFIG": config}
        environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
        flags = ["--domain=regression_2mode", *tiny_flags("maml")]
        done = subprocess.run(
            [sys.executable, SCRIPT, *flags],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1 and "worker 1 of 2 can't join the others" in done.stderr
    assert done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())
