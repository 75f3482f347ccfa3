"""Modulation alone, Meta-SGD and context vectors in reinforcement learning: what defines each."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data.reinforcement import DOMAINS
from mmaml_tf.rl import trpo
from mmaml_tf.rl.learner import MetaPolicy
from mmaml_tf.rl.rollouts import Rollouts
from mmaml_tf.tasks import TaskStream
from tests.learners import generic
from tests.rl_problem import make_experience, make_learner, make_rollouts, tiny_domain, tiny_flags
from tests.runs import command
from tests.trpo_checks import check_gradient, explicit_fisher, updater


def draw(domain, num_tasks=4):
    rng = np.random.default_rng(0)
    return domain.tasks(domain.goals.sample(rng, num_tasks)[0], rng)


def check_same(policies, expected):
    """Policies in turn: theta' and tau of each, None where it is not modulated."""
    for (fast, tau), (other, wanted) in zip(policies, expected, strict=True):
        assert (tau is None) == (wanted is None)
        pairs = (tf.nest.flatten((fast, tau or [])), tf.nest.flatten((other, wanted or [])))
        for one, value in zip(*pairs, strict=True):
            np.testing.assert_allclose(one, value, rtol=0, atol=1e-5)


def test_who_plays_which_episodes(monkeypatch):
    """Algorithm 1: theta explores, theta' acts with tau before each step and after the last one."""
    domain = tiny_domain(embedding_trajectories=3, inner_steps=2, inner_lr=0.5)
    learner, played, policy = domain.build_learner(), [], MetaPolicy.policy
    monkeypatch.setattr(
        MetaPolicy,
        "policy",
        lambda self, fast, tau: played.append((fast, tau)) or policy(self, fast, tau),
    )
    experience = learner.experience(domain.training_tasks(0))
    tau, _ = learner.modulate(experience.trajectories)
    recorded = iter(experience.supports)
    fast, _ = learner.adapt(tau, lambda _: next(recorded), learner.learning_rates)
    check_same(played, [(fast[0], None), *((weights, tau) for weights in fast)])
    assert experience.trajectories.rewards.shape[:2] == [2, 3]
    assert experience.query.weights.shape == [2, 2 * 100]
    played.clear()
    tasks = draw(domain)
    found = learner.adapt_to(tasks, 2)
    assert learner.act_unmodulated(tasks)
    prior = (learner.network.prior(), None)
    check_same(played, [prior, *((weights, found.tau) for weights in found.fast), prior])


def test_an_evaluation_has_the_returns_of_its_tasks_by_step():
    domain = tiny_domain(inner_lr=0.5, eval_steps=1)
    config, learner = domain.config, domain.build_learner()
    results = domain.evaluate(learner).tasks
    rng = np.random.default_rng([config.eval_seed, TaskStream.EVALUATION.value])
    tasks = domain.tasks(domain.goals.sample(rng, config.eval_tasks)[0], rng)
    learner.adapt_to(tasks, 1)
    learner.act_unmodulated(tasks)
    returns = tasks.returns()
    np.testing.assert_allclose(results.scores, returns[:, :2], rtol=1e-5)
    np.testing.assert_allclose(results.unmodulated, returns[:, 2], rtol=1e-5)
    assert np.abs(np.diff(returns)).min() > 1e-3


def test_modulation_is_mumomaml_without_steps():
    domains = [tiny_domain("modulation"), tiny_domain("mumomaml", inner_steps=0)]
    learners = [domain.build_learner() for domain in domains]
    for iteration in range(2):
        metrics = [learner.train_step(tf.constant(iteration)) for learner in learners]
        for name, value in metrics[0].items():
            assert float(value) == float(metrics[1][name]), name
    for one, other in zip(*(learner.trainable_variables for learner in learners), strict=True):
        np.testing.assert_array_equal(one, other)
    # Its evaluation takes none either: the return after modulation alone.
    scores = domains[0].evaluate(learners[0]).tasks.scores
    assert scores.shape == (4, 1)
    assert domains[0].config.inner_steps is None and domains[0].config.eval_steps is None


def rates_of(learner):
    theta = set(map(id, learner.network.model.trainable_variables))
    return [variable for variable in learner.trainable_variables if id(variable) not in theta]


def test_later_steps_may_have_a_rate_of_their_own():
    learner = tiny_domain("maml", inner_lr=0.5, later_lr=0.01).build_learner()
    assert learner.evaluation_rates(3) == [0.5, 0.01, 0.01]
    assert DOMAINS["maml_ant_direction"].settings_of("random")["later_lr"] == 0.001


def test_equal_rates_are_maml(float64):
    """The surrogate's gradient in theta, and an evaluation's steps, of alpha and half of it."""
    maml, learned = make_learner(None), make_learner(None, learned_rates=True)
    learned.network.model.set_weights(maml.network.model.get_weights())
    for rate in rates_of(learned):
        rate.assign(tf.fill(rate.shape, tf.constant(0.3, tf.float64)))
    found = []
    for learner in (maml, learned):
        experience = make_experience(learner)
        gradient = updater().gradient(learner, experience)[1]
        parts = trpo.unflatten(gradient, learner.trainable_variables)
        by_variable = dict(zip(map(id, learner.trainable_variables), parts, strict=True))
        recorded = iter([*experience.supports, experience.query])
        rates = learner.evaluation_rates(2)
        assert rates == [0.3, 0.15] and learner.evaluation_rates(0) == []
        trajectory, _ = learner.adapt(None, lambda _, data=recorded: next(data), rates)
        theta = learner.network.model.trainable_variables
        found.append([*(by_variable[id(v)] for v in theta), *tf.nest.flatten(trajectory)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", [dict(learned_rates=True), dict(context_size=2)])
def test_gradient_and_curvature(settings, float64):
    """In all weights, the rates among them, against finite differences."""
    learner = make_learner(None, num_steps=2, **settings)
    check_gradient(learner)
    experience, meta = make_experience(learner), updater(cg_damping=0.3)
    _, gradient, _, fast = meta.gradient(learner, experience)
    for variable, part in zip(
        learner.trainable_variables,
        trpo.unflatten(gradient, learner.trainable_variables),
        strict=True,
    ):
        assert np.abs(part).max() > 0, variable.path
    matrix = explicit_fisher(learner, experience)
    vector = np.random.default_rng(0).normal(size=len(matrix))
    product = tf.function(lambda v: meta.fisher(learner, experience, fast)(v), autograph=False)
    expected = matrix @ vector + 0.3 * vector
    np.testing.assert_allclose(product(tf.constant(vector)), expected, rtol=1e-5, atol=1e-7)


def test_an_update_moves_the_rates():
    domain = tiny_domain("meta_sgd")
    learner = domain.build_learner()
    rates = rates_of(learner)
    before = [rate.numpy() for rate in rates]
    assert len(rates) == len(learner.network.model.trainable_variables)
    assert all(np.all(value == np.float32(0.1)) for value in before)  # inner_lr
    learner.train_step(tf.constant(0))
    assert all(np.any(a != b.numpy()) for a, b in zip(before, rates, strict=True))


def test_only_the_context_adapts():
    domain = tiny_domain("context", inner_lr=0.5, context_size=3)
    learner = domain.build_learner()
    adaptation = learner.adapt_to(draw(domain), 2)
    layers = [layer.name for layer in learner.network.plan.layers]
    assert layers == ["context", "hidden_0", "hidden_1", "mean", "log_stddev"]
    prior = learner.network.prior()
    for fast in adaptation.fast[1:]:
        (z,), *theta = (weights.parts for weights in fast)
        assert z.shape == (4, 3)
        assert len(np.unique(z.numpy()[:, 0])) == 4  # its own in every task
        for weights, own in zip(theta, prior[1:], strict=True):
            for value, expected in zip(weights, own.parts, strict=True):
                np.testing.assert_array_equal(value, expected)
    # What acts in a task is the policy that adapted to it.
    seen = np.random.default_rng(0).normal(size=(4, 1, 2)).astype(np.float32)
    everyone = learner.policy(adaptation.fast[-1], None)(seen)
    for task in range(4):
        policy, _ = learner.acting(adaptation, task)
        np.testing.assert_allclose(policy(seen[task : task + 1])[0], everyone[task], atol=1e-6)


@pytest.mark.parametrize("method", ["meta_sgd", "context", "modulation"])
def test_the_saved_model_adapts_likewise(method, tmp_path):
    domain = tiny_domain(method)
    learner = generic(domain.build_learner(), 0.2)
    domain.export(learner, tmp_path / "model")
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    # Of two actions, as the environment has them; in its units.
    rollouts = [
        Rollouts(*(tf.cast(part, tf.float32) for part in make_rollouts(seed))) for seed in range(2)
    ]
    rollouts = [
        played._replace(actions=tf.concat([played.actions, 0.5 * played.actions], -1))
        for played in rollouts
    ]

    def given(played):
        return played._replace(actions=0.1 * played.actions)._asdict()

    state = dict(signatures["modulate"](**given(rollouts[0])))
    state.pop("task_embedding", None)
    tau, _ = learner.modulate(rollouts[0])
    fast = learner.network.prior()
    assert ("adapt" in signatures) == (method != "modulation")
    for step, alpha in enumerate(learner.evaluation_rates(domain.config.eval_steps or 0)[:2]):
        state = signatures["adapt"](**given(rollouts[step]), step=tf.constant(step), **state)
        data = learner.policy_data(rollouts[step])
        fast = learner.inner_step(fast, tau, data, tf.constant(alpha))
    seen = tf.random.normal([3, 4, 2])
    served = signatures["act"](observations=seen, seed=tf.constant([1, 2]), **state)
    mean, _ = tf.split(learner.outputs(seen, fast, tau), 2, -1)
    np.testing.assert_allclose(served["mean_actions"], 0.1 * mean, atol=1e-5)


@pytest.mark.parametrize(
    ("domain", "method"),
    [
        ("navigation_2d", "meta_sgd"),
        pytest.param("navigation_2d", "modulation", marks=pytest.mark.slow),
        pytest.param("cheetah_speed", "context", marks=pytest.mark.slow),
    ],
)
def test_through_the_command(domain, method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [f"--domain={domain}", *tiny_flags(method), "--preset=quick", "--output_dir=run"]
    assert command(*arguments, "--iterations=1") == 0
    assert command(*arguments) == 0  # goes on
    assert pd.read_csv("run/metrics.csv")["iteration"].tolist() == [1, 2]
    table = pd.read_csv("run/evaluation.csv")
    steps = [-1, 0] if method == "modulation" else [*range(6)]
    assert list(table["step"].unique()) == steps
    before = (tmp_path / "run/evaluation.csv").read_text()
    assert command("--mode=evaluate", "--output_dir=run") == 0
    assert (tmp_path / "run/evaluation.csv").read_text() == before
    assert (tmp_path / "run/saved_model/saved_model.pb").exists()
    assert command("--mode=report", "--runs=run", "--output_dir=report") == 0


def test_modulated_steps_with_learned_rates():
    """One setting more makes Meta-SGD of MuMoMAML's steps."""
    domains = [tiny_domain(learned_rates=learned) for learned in (False, True)]
    plain, learner = (domain.build_learner() for domain in domains)
    rates = sum(int(tf.size(weight)) for weight in plain.network.trainable_variables)
    extra = learner.count_params() - plain.count_params()
    assert extra == rates and learner.modulator is not None
    assert domains[1].config.label == "mumomaml-film-rates"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method=maml", "--learned_rates"], ["--learned_rates=True", "mumomaml"]),
        (["--method=modulation", "--inner_steps=1"], ["--inner_steps=1", "meta_sgd or mumomaml"]),
        (["--reward=linear"], ["--reward=linear", "distance, squared"]),
        (["--method=modulation", "--eval_steps=2"], ["--eval_steps=2", "drop it"]),
        (["--method=maml", "--context_size=2"], ["--context_size=2", "a setting of", "context"]),
        (["--method=context", "--context_size=0"], ["--context_size=0", "1 or more"]),
        (["--method=anil"], ["--method=anil", "meta_sgd, modulation, mumomaml"]),
    ],
)
def test_bad_input_is_one_line(arguments, words, capsys):
    assert command("--domain=navigation_2d", *arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and all(word in message for word in words), message
