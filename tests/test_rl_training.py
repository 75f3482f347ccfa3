"""Training: learning on a toy, resuming, interruption, and the command on every domain."""

import itertools

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmaml_tf.rl.meta_trpo import no_update
from mmaml_tf.training import fit
from mmaml_tf.training.run_folder import RunFolder
from tests.rl_problem import BANDIT_GOALS, tiny_domain, tiny_flags
from tests.runs import command


def bandit(method, **settings):
    toy = dict(meta_batch_size=8, rollouts=10, eval_tasks=20, max_kl=0.02, checkpoint_every=10)
    return tiny_domain(method, env_id="TestBandit-v0", goals=BANDIT_GOALS, **(toy | settings))


def trained(domain, path):
    learner = domain.build_learner()
    folder = RunFolder(path)
    with folder.claimed(domain.config):
        domain.train(learner, folder)
    return learner


def test_modulation_finds_the_mode_where_maml_can_not_before_a_step(tmp_path):
    """Five pulls a task: MAML's prior can only stay between the two modes."""
    returns = {}
    for method in ("maml", "mumomaml"):
        domain = bandit(method, iterations=40, inner_lr=0.01)
        results = domain.evaluate(trained(domain, tmp_path / method))
        returns[method] = results.tasks.scores.mean(0)
    assert returns["mumomaml"][0] > returns["maml"][0] + 0.5
    assert returns["mumomaml"][1] > returns["maml"][1]


def test_an_evaluation_has_rollouts_of_its_own():
    domain = bandit("maml", eval_rollouts=25)
    results = domain.evaluate(domain.build_learner())
    alike = bandit("maml", rollouts=25)
    np.testing.assert_array_equal(
        results.tasks.scores, alike.evaluate(alike.build_learner()).tasks.scores
    )
    fewer = bandit("maml")
    assert not np.array_equal(
        results.tasks.scores, fewer.evaluate(fewer.build_learner()).tasks.scores
    )


def test_an_iteration_logs_the_returns_before_and_after_the_steps():
    domain = bandit("maml", inner_lr=0.5)
    learner = domain.build_learner()
    tasks = domain.training_tasks(3)
    learner.experience(tasks)
    learner.meta_update = no_update
    logs = learner.train_step(tf.constant(3))
    found = [float(logs[name]) for name in ("return_before", "return_after")]
    np.testing.assert_allclose(found, tasks.returns().mean(0), rtol=1e-5)
    assert abs(found[0] - found[1]) > 1e-2


def test_the_seed_decides_on_the_weights_and_the_tasks():
    domains = [bandit("maml", seed=seed) for seed in (0, 1, 0)]
    learners, tasks = zip(*((d.build_learner(), d.training_tasks(3)) for d in domains), strict=True)
    kernels = [learner.network.model.layers[0].kernel.numpy() for learner in learners]
    noise = [drawn.rngs[0].standard_normal(9) for drawn in tasks]
    for one, other, again in (kernels, [drawn.goals for drawn in tasks], noise):
        np.testing.assert_array_equal(one, again)
        assert not np.any(one == other)


def test_random_is_never_changed(tmp_path):
    domain = bandit("random", iterations=3)
    fresh = domain.build_learner().get_weights()
    after = trained(domain, tmp_path).get_weights()
    for one, other in zip(fresh[:7], after[:7], strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_ends_with_the_weights_of_the_best_return(tmp_path, monkeypatch):
    monkeypatch.setattr("mmaml_tf.rl.domain.PICKED_BY", 1)
    domain = bandit("maml", iterations=8, max_kl=1.0)
    learner = trained(domain, tmp_path)
    returns = pd.read_csv(tmp_path / "metrics.csv")["return_after"]
    assert returns.idxmax() < 7, "choose other settings: the last one was the best"
    again = domain.build_learner()
    assert fit.restore(again, RunFolder(tmp_path)) == returns.idxmax() + 1
    for one, other in zip(policy_weights(learner), policy_weights(again), strict=True):
        np.testing.assert_array_equal(one, other)


def policy_weights(learner):
    return [variable.numpy() for variable in learner.trainable_variables]


# MuMoMAML's graphs take longer to trace.
@pytest.mark.parametrize("method", ["maml", pytest.param("mumomaml", marks=pytest.mark.slow)])
def test_resumed_equals_uninterrupted(method, tmp_path):
    whole = trained(bandit(method, iterations=6), tmp_path / "whole")
    trained(bandit(method, iterations=3), tmp_path / "parts")
    resumed = trained(bandit(method, iterations=6), tmp_path / "parts")
    for one, other in zip(policy_weights(whole), policy_weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    tables = [pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "parts")]
    timeless = [table.drop(columns="iterations_per_second") for table in tables]
    pd.testing.assert_frame_equal(*timeless)


def test_evaluation_meets_the_same_tasks_whatever_the_method():
    goals = []
    for method in ("maml", "mumomaml", "oracle"):
        domain = tiny_domain(method)
        goals.append(domain.evaluate(domain.build_learner()).shown_goals)
    np.testing.assert_array_equal(goals[0], goals[1])
    np.testing.assert_array_equal(goals[0], goals[2])


METHODS = ["maml", "mumomaml", "pretrained", "random", "oracle"]
DOMAINS = ["navigation_2d", "cheetah_location", "cheetah_speed"]


def test_every_method_is_built_for_every_domain():
    for domain, method in itertools.product(DOMAINS, METHODS):
        made = tiny_domain(method, domain)
        assert made.build_learner().trainable_variables
        assert made.sampler.observes_goal == (method == "oracle")


# Tracing a meta-update takes seconds; the fast ones cover both kinds of learner and both of update.
@pytest.mark.parametrize(
    ("domain", "method"),
    [
        ("navigation_2d", "mumomaml"),
        ("navigation_2d", "oracle"),
        ("cheetah_speed", "random"),
        pytest.param("cheetah_location", "mumomaml", marks=pytest.mark.slow),
    ],
)
def test_every_method_and_every_domain(domain, method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(f"--domain={domain}", *tiny_flags(method)) == 0
    label = "mumomaml-film" if method == "mumomaml" else method
    folder = tmp_path / "runs" / domain / label / "seed0"
    table = pd.read_csv(folder / "evaluation.csv")
    assert list(table) == ["step", "mode", "metric", "mean", "ci95", "num_tasks"]
    first, last = -1 if method == "mumomaml" else 0, 0 if method == "oracle" else 5
    assert list(table["step"].unique()) == [*range(first, last + 1)]
    assert set(table["metric"]) == {"return"} and len(table["mode"].unique()) == 3
    assert table[table["mode"] == "all"]["num_tasks"].eq(4).all()
    expected = {"training.png", "adaptation.png"}
    expected |= {"trajectories.png"} if domain == "navigation_2d" else set()
    expected |= {"task_embeddings.png"} if method == "mumomaml" else set()
    assert {path.name for path in (folder / "figures").iterdir()} == expected
    assert (folder / "saved_model" / "saved_model.pb").exists()
    assert list((folder / "tensorboard").rglob("events*"))
    iterations = [1] if method == "random" else [1, 2]
    assert pd.read_csv(folder / "metrics.csv")["iteration"].tolist() == iterations


def test_evaluating_again_and_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    base = ["--domain=navigation_2d", "--method=random"]
    for seed in (0, 1):
        assert command(*base, *tiny_flags("random"), f"--seed={seed}") == 0
    folder = tmp_path / "runs/navigation_2d/random/seed0"
    before = (folder / "evaluation.csv").read_text()
    assert command(*base, "--mode=evaluate", f"--output_dir={folder}") == 0
    assert (folder / "evaluation.csv").read_text() == before  # the same tasks and noise
    assert command("--mode=report", "--domain=navigation_2d") == 0
    assert "| random seed=1 |" in capsys.readouterr().out
    report = tmp_path / "runs/navigation_2d/report"
    assert {path.name for path in report.glob("*.png")} == {"training.png", "adaptation.png"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method=multi_maml"], ["--method=multi_maml", "mumomaml, oracle"]),
        (["--rollouts=0"], ["--rollouts=0", "1 or more"]),
        (["--meta_batch_size=3"], ["--meta_batch_size=3", "lower_left, upper_right"]),
        (["--max_kl=0"], ["--max_kl=0"]),
        (["--meta_lr=0.1"], ["--meta_lr=0.1", "not a setting of --domain=navi"]),
        (["--method=random", "--max_kl=0.1"], ["--max_kl=0.1", "drop it for --method=random"]),
        (
            ["--method=maml", "--encoder=gru"],
            ["--encoder=gru", "a setting of --method=modulation or mumomaml"],
        ),
        (["--discount=1.5"], ["--discount=1.5", "between 0 and 1"]),
        (["--modulation=gate"], ["--modulation=gate", "film, sigmoid, softmax"]),
        (["--method=oracle", "--inner_steps=1"], ["--inner_steps=1", "oracle"]),
        (["--num_shots=5"], ["--num_shots=5", "navigation_2d"]),
    ],
)
def test_bad_input_is_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command("--domain=navigation_2d", *arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and all(word in message for word in words), message
    assert not list(tmp_path.iterdir())


def test_animation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("--domain=navigation_2d", *tiny_flags("random"), "--animation") == 0
    gif = tmp_path / "runs/navigation_2d/random/seed0/figures/policy.gif"
    assert gif.read_bytes().startswith(b"GIF8")
