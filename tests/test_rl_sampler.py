"""Episodes: units, masks, repeatability, and simulations that go wrong."""

import numpy as np
import pytest

from mmaml_tf import envs
from mmaml_tf.errors import NonFiniteLossError, RunError
from mmaml_tf.rl.sampler import Sampler
from tests import rl_problem  # noqa: F401  registers the test environments


def steady(mean, log_stddev=-20.0):
    """A policy that always does the same, all but without noise."""

    def policy(observations):
        outputs = np.zeros((*observations.shape[:2], 2 * len(mean)), np.float32)
        outputs[..., : len(mean)], outputs[..., len(mean) :] = mean, log_stddev
        return outputs

    return policy


def generators(num_tasks, seed=0):
    return np.random.default_rng(seed).spawn(num_tasks)


def test_an_episode_by_hand():
    sampler = Sampler(envs.NAVIGATION_2D, np.ones(2))
    goals = np.array([[0.5, 0.25], [-3.0, 1.0]])
    rollouts, diverged = sampler.play(steady([0.5, 0.25]), goals, 2, generators(2))
    assert diverged == 0 and rollouts.observations.shape == (2, 2, 100, 2)
    # Half of the largest speed, 0.1: the first task's goal is reached in ten steps.
    steps = np.arange(100)
    path = np.stack([0.05 * steps, 0.025 * steps], -1)
    np.testing.assert_allclose(rollouts.observations[0, 0, :11], path[:11], atol=1e-6)
    np.testing.assert_allclose(rollouts.observations[1, 1], path, atol=1e-5)
    np.testing.assert_array_equal(rollouts.mask[0], np.tile(steps < 10, (2, 1)))
    np.testing.assert_array_equal(rollouts.mask[1], np.ones((2, 100)))
    np.testing.assert_allclose(rollouts.actions[1, 0, 7], [0.5, 0.25], atol=1e-6)
    reached = path[1:11]
    rewards = -np.linalg.norm(reached - goals[0], axis=-1)
    np.testing.assert_allclose(rollouts.rewards[0, 1, :10], rewards, atol=1e-6)
    assert not rollouts.rewards.numpy()[0, :, 10:].any()
    np.testing.assert_allclose(rollouts.returns()[0], rewards.sum(), rtol=1e-5)


def test_noise_has_the_policys_size_and_is_not_clipped_in_the_record():
    sampler = Sampler(envs.NAVIGATION_2D, np.ones(2))
    policy = steady([0.0, 1.0], np.log(2.0))
    rollouts, _ = sampler.play(policy, np.full((4, 2), 50.0), 10, generators(4))
    actions = rollouts.actions.numpy().reshape(-1, 2)
    # 4000 draws: standard errors 0.03 of the mean and 0.02 of the deviation.
    np.testing.assert_allclose(actions.mean(0), [0.0, 1.0], atol=0.15)
    np.testing.assert_allclose(actions.std(0), [2.0, 2.0], atol=0.1)
    moved = np.diff(rollouts.observations.numpy(), axis=2)
    assert np.abs(moved).max() <= 0.1 + 1e-6


@pytest.mark.parametrize("env_id", [envs.NAVIGATION_2D, envs.HALF_CHEETAH_SPEED])
def test_equal_generators_give_equal_episodes(env_id):
    goals = np.full((2, 2 if env_id == envs.NAVIGATION_2D else 1), 1.5)

    def play(seed):
        sampler = Sampler(env_id, goals[0])
        policy = steady([0.1] * sampler.action_size, 0.0)
        return sampler.play(policy, goals, 2, generators(2, seed))[0]

    for one, other in zip(play(3), play(3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(play(3).rewards - play(4).rewards).max() > 0


def test_every_episode_has_a_start_of_its_own():
    sampler, rngs = Sampler(envs.HALF_CHEETAH_SPEED, np.ones(1)), generators(2)
    played = [sampler.play(steady([0.0] * 6), np.ones((2, 1)), 2, rngs)[0] for _ in range(2)]
    starts = [rollouts.observations[:, :, 0, 0] for rollouts in played]
    assert len(np.unique(starts)) == 2 * 2 * 2


def test_the_oracle_sees_the_goal():
    sampler = Sampler(envs.HALF_CHEETAH_LOCATION, np.ones(1), observes_goal=True)
    assert sampler.observation_size == 19
    goals = np.array([[2.5], [-1.5]])
    rollouts, _ = sampler.play(steady([0.0] * 6), goals, 1, generators(2))
    np.testing.assert_array_equal(rollouts.observations[0, 0, :, -1], np.full(200, 2.5))
    np.testing.assert_array_equal(rollouts.observations[1, 0, :, -1], np.full(200, -1.5))


def test_actions_that_are_not_finite():
    with pytest.raises(NonFiniteLossError, match="actions are not finite"):
        Sampler(envs.NAVIGATION_2D, np.ones(2)).play(
            steady([np.nan, 0.0]), np.ones((1, 2)), 1, generators(1)
        )


def test_a_rate_of_diverging_simulations_stops_the_run():
    with pytest.raises(RunError, match="4 of 4 simulations diverged"):
        Sampler("TestBroken-v0", np.ones(1)).play(steady([0.0]), np.ones((2, 1)), 2, generators(2))


def test_without_opengl_the_error_is_the_commands(monkeypatch):
    def unavailable(*args, **kwargs):
        raise envs.RendererUnavailableError(ImportError("no libOpenGL"))

    monkeypatch.setattr("gymnasium.make_vec", unavailable)
    with pytest.raises(RunError, match="MUJOCO_GL.*no libOpenGL"):
        Sampler(envs.HALF_CHEETAH_SPEED, np.ones(1))
