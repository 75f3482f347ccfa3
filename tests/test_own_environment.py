"""Environments of Gymnasium's that have no batched twin: stepped, refused, and trained on."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from PIL import Image as Picture

from data.goal_distributions import PointGoals
from data.reinforcement import DOMAINS, Reinforcement
from examples import own_environment
from mmaml_tf.envs.own_vector import OwnVectorEnv, make_batch
from mmaml_tf.envs.replay import save_replay
from mmaml_tf.errors import RunError
from mmaml_tf.rl.sampler import Sampler
from tests.rl_problem import tiny_flags
from tests.runs import command

HORIZON = 8


class Walk(gymnasium.Env):
    """Ends at 1 or beyond, and breaks below -1; what it was asked to do is never clipped."""

    observation_space = Box(-np.inf, np.inf, (1,))
    action_space = Box(-0.5, 0.25, (1,))
    broken = np.nan

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.goal = (options or {}).get("goal", np.zeros(1))
        self.x = self.np_random.uniform(-0.1, 0.1, 1).astype(np.float32)
        return self.x, {}

    def step(self, action):
        self.x = self.x + action
        if self.x[0] < -1:
            return np.full_like(self.x, self.broken), 0.0, False, False, {}
        return self.x, float(self.goal[0] * self.x[0]), bool(self.x[0] >= 1), False, {}


class Drawn(Walk):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def render(self):
        return np.full((8, 8, 3), round(float(100 + 100 * self.x[0])), np.uint8)


class Tired(Walk):
    """Has a limit of its own, below its registration's."""

    def reset(self, *, seed=None, options=None):
        self.steps_left = 3
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.steps_left -= 1
        *seen, _, infos = super().step(action)
        return *seen, self.steps_left == 0, infos


class Unbounded(Walk):
    action_space = Box(-np.inf, np.inf, (1,))


class Buttons(Walk):
    action_space = Discrete(2)


class Image(Walk):
    observation_space = Box(0, 1, (8, 8))


class Goalless(Walk):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)


class Choosy(Walk):
    def reset(self, *, seed=None, options=None):
        raise ValueError(f"no such goal: {options['goal']}")


for _class in (Walk, Drawn, Tired, Unbounded, Buttons, Image, Goalless, Choosy):
    gymnasium.register(f"Test{_class.__name__}-v0", _class, max_episode_steps=HORIZON)
gymnasium.register("TestEndless-v0", Walk)
gymnasium.register(  # a batch that knows no goals
    "TestForeign-v0",
    Walk,
    vector_entry_point=lambda num_envs, max_episode_steps: gymnasium.vector.SyncVectorEnv(
        [Walk] * num_envs
    ),
    max_episode_steps=HORIZON,
)
GOALS = np.array([[1.0], [-2.0], [3.0], [4.0]])
ACTIONS = np.array([[0.2], [-0.3], [0.05], [9.0]])  # one that ends, breaks, lasts, is clipped


def played(batch, seed=0, steps=HORIZON + 2):
    """Observations, rewards and ends of every step."""
    first, _ = batch.reset(seed=seed, options={"goals": GOALS})
    stepped = [batch.step(ACTIONS)[:4] for _ in range(steps)]
    return first, *(np.stack(parts) for parts in zip(*stepped, strict=True))


@pytest.mark.parametrize("env_id", ["TestWalk-v0", "TestForeign-v0"])
def test_equals_single_environments(env_id):
    batch = make_batch(env_id, 4, GOALS[0])
    assert isinstance(batch, OwnVectorEnv)
    first, observations, rewards, terminated, truncated = played(batch)
    seeds = np.random.default_rng(0).integers(2**31, size=4)
    for index, (goal, action) in enumerate(zip(GOALS, ACTIONS, strict=True)):
        single = gymnasium.make("TestWalk-v0")
        last, _ = single.reset(seed=int(seeds[index]), options={"goal": goal})
        np.testing.assert_array_equal(first[index], last)
        over = False
        for step in range(len(rewards)):
            if over:  # frozen
                assert rewards[step, index] == 0.0
            else:
                clipped = np.clip(action, -0.5, 0.25).astype(np.float32)
                seen, reward, *ends, _ = single.step(clipped)
                if np.isnan(seen).any():
                    seen, reward, ends = last, 0.0, [True, False]
                last, over = seen, any(ends)
                assert rewards[step, index] == reward
            np.testing.assert_array_equal(observations[step, index], last)
            assert [terminated[step, index], truncated[step, index]] == ends
    # By its end, by breaking, at the horizon; and by its end, sooner, at the limit of its actions.
    assert terminated[-1].tolist() == [True, True, False, True] and batch.num_diverged == 1
    assert np.flatnonzero(truncated[:, 2])[0] == HORIZON - 1
    assert 3 <= np.flatnonzero(terminated[:, 3])[0] <= 4


def test_a_limit_of_its_own_ends_an_episode():
    _, _, rewards, terminated, truncated = played(make_batch("TestTired-v0", 4, GOALS[0]))
    np.testing.assert_array_equal(truncated[:, 2], np.arange(HORIZON + 2) >= 2)
    assert not terminated[:, 2].any() and rewards[2, 2] != 0 and not rewards[3:, 2].any()


def test_equals_a_batched_twin():
    goals = np.array([[0.3, 0.1], [-0.2, 0.4], [0.005, 2.0]])
    rng = np.random.default_rng(0)
    own = OwnVectorEnv("mmaml_tf/Navigation2D-v0", 3, goals[0])
    twin = make_batch("mmaml_tf/Navigation2D-v0", 3, goals[0])
    assert not isinstance(twin, OwnVectorEnv) and own.max_episode_steps == 100
    for env in (own, twin):
        observations, _ = env.reset(seed=0, options={"goals": goals})
    for _ in range(102):
        noise = rng.normal(0, 0.05, goals.shape) * [[0], [1], [1]]
        actions = (goals - observations + noise).astype(np.float32).astype(np.float64)
        observations, *expected = twin.step(actions)
        for one, other in zip(own.step(actions)[:4], [observations, *expected[:3]], strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)  # its actions are float32


def test_processes_do_not_change_a_bit():
    batches = [make_batch("TestWalk-v0", 4, GOALS[0], how) for how in ("sync", "async")]
    for one, other in zip(*map(played, batches), strict=True):
        np.testing.assert_array_equal(one, other)
    for batch in batches:
        batch.close()


def test_a_mask_resets_only_its_environments():
    batch = make_batch("TestWalk-v0", 4, GOALS[0])
    _, observations, *_ = played(batch)
    mask = np.array([True, False, False, True])
    after, _ = batch.reset(seed=5, options={"goals": -GOALS, "reset_mask": mask})
    np.testing.assert_array_equal(after[~mask], observations[-1][~mask])
    assert (np.abs(after[mask]) < 0.1).all()
    np.testing.assert_array_equal(batch.goals, np.where(mask[:, None], -GOALS, GOALS))
    _, rewards, *_ = batch.step(ACTIONS)
    assert rewards[0] == -(after[0, 0] + np.float32(0.2)) and rewards[1] == rewards[2] == 0.0


def test_a_tasks_episodes_do_not_depend_on_the_others():
    def policy(observations):
        return np.concatenate([-observations, np.full_like(observations, -2.0)], -1)

    def play(goals, seeds):
        sampler = Sampler("TestWalk-v0", GOALS[0])
        rngs = [np.random.default_rng(seed) for seed in seeds]
        return sampler.play(policy, np.array(goals), 3, rngs)[0]

    together = play([[1.0], [2.0], [3.0]], [7, 8, 9])
    alone = play([[2.0]], [8])
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one[1:2], other)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TestEndless-v0", "has no max_episode_steps"),
        ("TestUnbounded-v0", "actions are unbounded .*finite low and high"),
        ("TestButtons-v0", r"action space is Discrete\(2\); it must be a Box of shape \(n,\)"),
        ("TestImage-v0", "observation space is Box.*must be a Box of shape"),
        ("TestGoalless-v0", 'has no goals: its reset must take its task from options."goal"'),
        ("TestChoosy-v0", r"fails: ValueError: no such goal: \[1\.\]"),
        ("TestMissing-v0", "doesn't exist"),
    ],
)
def test_what_cannot_be_learnt_from_gets_one_line(name, message):
    with pytest.raises(RunError, match=message) as refused:
        Sampler(name, GOALS[0])
    assert name.removesuffix("-v0") in str(refused.value) and "\n" not in str(refused.value)


def test_goals_of_another_size_than_the_twins():
    with pytest.raises(RunError, match="goals are 2 numbers, not 1"):
        Sampler("mmaml_tf/Navigation2D-v0", GOALS[0])


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    goals = PointGoals(("one",), points=((1.0,),))
    monkeypatch.setitem(DOMAINS, "goalless", Reinforcement("TestGoalless-v0", goals))
    assert command("--domain=goalless", "--method=random") == 1
    assert "TestGoalless-v0 has no goals" in capsys.readouterr().err


def test_own_settings_are_the_domains_defaults(monkeypatch):
    goals = PointGoals(("one",), points=((1.0,),))
    own = Reinforcement("A-v0", goals, dict(rollouts=7), {"random": dict(inner_lr=0.5)})
    assert own.settings_of("maml") == dict(rollouts=7)
    assert own.settings_of("random") == dict(rollouts=7, inner_lr=0.5)


@pytest.mark.parametrize("method", ["mumomaml", pytest.param("rl2", marks=pytest.mark.slow)])
def test_the_example_trains(method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "reach" in DOMAINS and own_environment.Reach.__doc__
    assert command("--domain=reach", *tiny_flags(method), "--output_dir=run") == 0
    assert (tmp_path / "run/saved_model/saved_model.pb").exists()


def test_is_drawn_by_a_process_that_does_not_know_the_registration(tmp_path, monkeypatch):
    arguments = ("TestDrawn-v0", GOALS[:2], [np.full((3, 1), 0.2)] * 2, tmp_path / "walk.gif")
    save_replay(*arguments)
    with Picture.open(tmp_path / "walk.gif") as animation:
        assert animation.n_frames == 6 and animation.info["duration"] == 100
    monkeypatch.setattr(Drawn, "__module__", "__main__")
    with pytest.raises(RunError, match="module of its own"):
        save_replay(*arguments)
