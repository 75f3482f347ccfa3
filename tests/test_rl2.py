"""RL^2: what the policy remembers, what it is trained on, and the run through the command."""

import gymnasium
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmaml_tf.rl.advantages import discounted_sums
from mmaml_tf.rl.recurrent import RecurrentPolicy
from mmaml_tf.rl.rl2 import RL2
from mmaml_tf.rl.rollouts import Experience, PolicyData
from mmaml_tf.rl.trials import TrialData, TrialPolicy, inputs_size, trial_of
from tests.learners import generic
from tests.rl_problem import (
    ACT,
    BANDIT_GOALS,
    HORIZON,
    OBS,
    Bandit,
    make_rollouts,
    tiny_domain,
    tiny_flags,
)
from tests.runs import command
from tests.trpo_checks import check_gradient, explicit_fisher, updater


def draw(domain, num_tasks=4, seed=0):
    rng = np.random.default_rng(seed)
    return domain.tasks(domain.goals.sample(rng, num_tasks)[0], rng)


def make_learner(units=(4, 3), seed=3):
    """Two GRUs, in Keras's current float type."""
    keras.utils.set_random_seed(seed)
    network = RecurrentPolicy(inputs_size(OBS, ACT), units, ACT)
    settings = dict(discount=0.9, gae_lambda=0.8, draw_tasks=None, meta_update=None)
    return generic(RL2(network, 2, **settings), 0.5)


def make_experience(learner, num_trials=2):
    episodes = [make_rollouts(seed, num_rollouts=num_trials) for seed in range(2)]
    return Experience(None, (), learner.trial_data(trial_of(episodes)))


def test_a_trial_has_its_episodes_in_a_row(float64):
    """However early they ended; each step knows what the one before did."""
    episodes = [make_rollouts(seed, num_tasks=2) for seed in range(2)]
    trial = trial_of(episodes)
    assert trial.observations.shape == (2, 2, 2 * HORIZON, OBS + ACT + 2)
    for task in range(2):
        for number in range(2):
            seen, last, is_first = [], np.zeros(ACT + 1), 0.0
            for played in episodes:
                for t in np.flatnonzero(played.mask[task, number]):
                    now = played.observations[task, number, t]
                    seen.append([*now, *last, is_first if t == 0 else 0.0])
                    action, reward = played.actions[task, number, t], played.rewards
                    last = np.array([*action, reward[task, number, t]])
                is_first = 1.0
            length = len(seen)
            np.testing.assert_array_equal(trial.mask[task, number], np.arange(10) < length)
            np.testing.assert_array_equal(trial.observations[task, number, :length], seen)
    np.testing.assert_allclose(
        tf.reduce_sum(trial.rewards, -1), sum(tf.reduce_sum(e.rewards, -1) for e in episodes)
    )


def test_advantages_reach_over_the_episodes_of_a_trial(float64):
    """With lambda = 1 they are the trial's discounted returns less a baseline."""
    trial = trial_of([make_rollouts(seed, num_rollouts=6) for seed in range(2)])
    data = TrialData.from_rollouts(trial, 0.9, 1.0)
    plain = PolicyData.from_rollouts(trial, 0.9, 1.0)
    assert data.weights.shape == (18, 2 * HORIZON)
    np.testing.assert_array_equal(tf.reshape(data.advantages, [3, -1]), plain.advantages)
    np.testing.assert_allclose(tf.reduce_sum(tf.reshape(data.weights, [3, -1]), 1), 6.0)
    first = np.argmax(trial.observations[0, 0, :, -1])  # of the second episode
    raised = trial.rewards.numpy()
    raised[0, 0, first] += 1.0
    returns = discounted_sums(tf.constant(raised), 0.9) - discounted_sums(trial.rewards, 0.9)
    np.testing.assert_allclose(returns[0, 0, 0], 0.9**first)
    other = TrialData.from_rollouts(trial._replace(rewards=tf.constant(raised)), 0.9, 1.0)
    assert np.abs(other.advantages[0, :first] - data.advantages[0, :first]).min() > 0


def test_advantages_have_the_learners_discount_and_lambda(float64):
    trial = trial_of([make_rollouts(seed) for seed in range(2)])
    expected = TrialData.from_rollouts(trial, 0.9, 0.8)
    for one, other in zip(make_learner().trial_data(trial), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_thinned_data_are_whole_trials_of_every_mode():
    """Tasks alternate between modes: every second one would be of one mode alone."""
    trial = trial_of([make_rollouts(0, num_tasks=12, num_rollouts=1)])
    data = TrialData.from_rollouts(trial, 0.9, 1.0)
    assert data.every(1).weights.shape == data.weights.shape
    for stride in (2, 4):
        thin = data.every(stride)
        assert thin.weights.shape == (12 // stride, HORIZON)
        rows = [
            int(np.flatnonzero((data.observations == row).numpy().all((1, 2)))[0])
            for row in thin.observations
        ]
        assert {row % 2 for row in rows} == {0, 1}


class Ending(Bandit):
    """A bandit whose episodes end with the first pull of more than one half."""

    def _advance(self, actions, live):
        rewards, _, infos = super()._advance(actions, live)
        return rewards, actions[:, 0] > 0.5, infos


gymnasium.register(id="TestEnding-v0", vector_entry_point=Ending, max_episode_steps=HORIZON)


def ending_domain(**settings):
    """Of the bandit above."""
    return tiny_domain("rl2", env_id="TestEnding-v0", goals=BANDIT_GOALS, rollouts=3, **settings)


def test_the_state_lasts_through_a_trial_and_no_longer(monkeypatch):
    domain = ending_domain()
    learner = generic(domain.build_learner(), 0.5)
    said, call = [], TrialPolicy.__call__
    monkeypatch.setattr(
        TrialPolicy, "__call__", lambda self, seen: said.append(call(self, seen)) or said[-1]
    )
    learner.play(draw(domain, seed=5), 2)  # of which nothing is left
    fresh = said[0]
    said.clear()
    tasks = draw(domain)
    learner.play(tasks, 2)
    np.testing.assert_array_equal(said[0], fresh)
    lengths = [played.mask.numpy().sum(-1) for played in tasks.rollouts]
    assert len(np.unique(lengths[0])) > 1, "choose another seed: no episode ended early"
    # What was said step by step, episode by episode, is what the network says of whole trials.
    spoken = []
    for played in tasks.rollouts:
        outputs = np.zeros((*played.actions.shape[:3], 2), np.float32)
        for t in range(int(played.mask.numpy().sum(-1).max())):
            outputs[:, :, t] = said.pop(0)
        spoken.append(played._replace(actions=tf.constant(outputs)))
    assert not said
    experience = Experience(None, (), learner.trial_data(trial_of(tasks.rollouts)))
    replayed, _ = learner.replay(experience)
    live = experience.query.weights > 0
    expected = tf.reshape(trial_of(spoken).actions, replayed.shape)
    np.testing.assert_allclose(replayed[live], expected[live], atol=1e-5)
    # The bandit shows the same at all times: the second episode's start differs by memory alone.
    first, second = (outputs.actions[:, :, 0] for outputs in spoken)
    assert len(np.unique(first.numpy()[..., 0])) == 1
    assert len(np.unique(second.numpy()[..., 0])) == first.numpy()[..., 0].size


def test_batched_equals_one_by_one():
    """Sequences, tasks that are played, and a trial that goes on by itself."""
    learner = make_learner()
    query = make_experience(learner).query
    batched = learner.network(query.observations, query.weights > 0)
    for row in range(batched.shape[0]):
        own = (part[row : row + 1] for part in (query.observations, query.weights > 0))
        np.testing.assert_allclose(learner.network(*own)[0], batched[row], atol=1e-6)
    domain = ending_domain()
    learner = generic(domain.build_learner(), 0.5)
    tasks = draw(domain)
    adaptation = learner.adapt_to(tasks, 1)
    for task in range(4):
        alone = draw(domain).share(task, 4)
        learner.play(alone, 2)
        for mine, all_of_them in zip(alone.rollouts, tasks.rollouts, strict=True):
            np.testing.assert_array_equal(mine.mask[0], all_of_them.mask[task])
            live = mine.mask[0] > 0  # the others' episodes may last longer
            for part, batched in zip(mine, all_of_them, strict=True):
                np.testing.assert_allclose(part[0][live], batched[task][live], atol=1e-5)
    adaptation.policy.start_episode()
    seen = np.ones((4, 3, 1), np.float32)
    together = adaptation.policy
    single = [learner.acting(adaptation, task)[0] for task in range(4)]
    for _ in range(2):
        outputs = together(seen)
        action, reward = np.tanh(outputs[..., :1]), outputs[..., 0]
        over = np.zeros((4, 3), np.bool_)
        for task, policy in enumerate(single):
            np.testing.assert_allclose(policy(seen[:1, :1])[0, 0], outputs[task, 0], atol=1e-6)
            own = (value[task : task + 1, :1] for value in (action, reward, over))
            policy.met(*own)
        together.met(action, reward, over)


def test_gradient_and_curvature(float64):
    learner = make_learner()
    experience = make_experience(learner)
    check_gradient(learner, experience)
    meta = updater(cg_damping=0.3)
    matrix = explicit_fisher(learner, experience)
    vector = np.random.default_rng(0).normal(size=len(matrix))
    product = tf.function(lambda v: meta.fisher(learner, experience, ())(v), autograph=False)
    expected = matrix @ vector + 0.3 * vector
    np.testing.assert_allclose(product(tf.constant(vector)), expected, rtol=1e-5, atol=1e-7)


def test_it_learns_to_find_out_what_a_bandit_pays_for():
    """Without memory one answer to both modes is the best: -3.5 in five pulls."""
    toy = dict(meta_batch_size=8, rollouts=10, eval_tasks=20, max_kl=0.02, query_stride=1)
    domain = tiny_domain(
        "rl2", env_id="TestBandit-v0", goals=BANDIT_GOALS, hidden_units=(16,), eval_steps=1, **toy
    )
    learner = domain.build_learner()
    for iteration in range(30):
        learner.train_step(tf.constant(iteration))
    first, second = domain.evaluate(learner).tasks.scores.mean(0)
    assert second > first + 0.2 and first > -2.5 and second > -2.0


def test_the_saved_model_remembers_likewise(tmp_path):
    domain = tiny_domain("rl2")
    learner = generic(domain.build_learner(), 0.5)
    domain.export(learner, tmp_path / "model")
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    policy = learner.play(draw(domain), 0)
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(4, 2)).astype(np.float32)
    now = dict(signatures["initial_state"](observation=tf.constant(seen)))
    assert set(now) == {"action", "reward", "done", "state_0", "state_1"}
    for t in range(4):
        if t == 2:
            policy.start_episode()
        seen = rng.normal(size=(4, 2)).astype(np.float32)
        said = signatures["act"](observation=tf.constant(seen), seed=tf.constant([0, t]), **now)
        mean = policy(np.repeat(seen[:, None], 2, 1))[:, 0, :2]
        np.testing.assert_allclose(said["mean_actions"], 0.1 * mean, atol=1e-6)
        action, reward = said["actions"].numpy() / 0.1, rng.normal(size=4).astype(np.float32)
        over = np.full((4, 2), t == 1)
        policy.met(np.repeat(action[:, None], 2, 1), np.repeat(reward[:, None], 2, 1), over)
        now = {name: said[name] for name in ("state_0", "state_1")}
        now |= dict(
            action=said["actions"],
            reward=tf.constant(reward),
            done=tf.constant(over[:, 0], tf.float32),
        )
    for number in (0.5, 2.0, -1.0):
        wrong = now | dict(done=tf.fill([4], number))
        with pytest.raises(tf.errors.InvalidArgumentError, match="done must be 0 to 1 .whether"):
            signatures["act"](observation=tf.constant(seen), seed=tf.constant([0, 0]), **wrong)
    wrong = now | dict(reward=tf.zeros([3]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="reward must be .tasks. with tasks"):
        signatures["act"](observation=tf.constant(seen), seed=tf.constant([0, 0]), **wrong)


@pytest.mark.parametrize(
    "domain", ["navigation_2d", pytest.param("cheetah_speed", marks=pytest.mark.slow)]
)
def test_through_the_command(domain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [f"--domain={domain}", *tiny_flags("rl2"), "--preset=quick"]
    assert command(*arguments, "--output_dir=whole") == 0
    assert command(*arguments, "--iterations=1", "--output_dir=run") == 0
    assert command(*arguments, "--output_dir=run") == 0  # goes on
    tables = [pd.read_csv(f"{name}/metrics.csv") for name in ("whole", "run")]
    pd.testing.assert_frame_equal(*(t.drop(columns="iterations_per_second") for t in tables))
    table = pd.read_csv("run/evaluation.csv")
    assert list(table["step"].unique()) == [*range(6)]  # episodes
    arguments = ["--checkpoint=run", "--output_dir=more", "--eval_steps=1"]
    assert command("--mode=evaluate", *arguments) == 0
    assert list(pd.read_csv("more/evaluation.csv")["step"].unique()) == [0, 1]
    assert command("--mode=report", "--runs=run,whole", "--output_dir=report") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trial_episodes=0"], ["--trial_episodes=0", "1 or more"]),
        (["--trial_episodes=99999999"], ["--trial_episodes=99999999", "of memory"]),
        (["--inner_lr=0.1"], ["--inner_lr=0.1", "drop it for --method=rl2"]),
        (["--modulation=film"], ["--modulation=film", "drop it for --method=rl2"]),
        (["--method=maml", "--trial_episodes=3"], ["--trial_episodes=3", "--method=rl2"]),
    ],
)
def test_bad_input_is_one_line(arguments, words, capsys):
    assert command("--domain=navigation_2d", "--method=rl2", *arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and all(word in message for word in words), message
