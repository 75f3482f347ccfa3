"""The batched environments against the single ones, step by step, and what only they do."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

from mmaml_tf.envs import (
    HALF_CHEETAH_LOCATION,
    HALF_CHEETAH_SPEED,
    NAVIGATION_2D,
    NAVIGATION_2D_SQUARED,
)

CHEETAHS = [HALF_CHEETAH_LOCATION, HALF_CHEETAH_SPEED]
HORIZONS = {NAVIGATION_2D: 100, HALF_CHEETAH_LOCATION: 200, HALF_CHEETAH_SPEED: 200}
# Joint velocities that leave our limit without, and with, a warning from MuJoCo.
DIVERGING = [(0, 1001.0, False), (5, 1e6, True), (5, 1e11, True)]


pytestmark = pytest.mark.usefixtures("in_empty_folder")


def make_vec(env_id, num_envs, **kwargs):
    return gymnasium.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs
    )


def goals_for(env, rng):
    return rng.uniform(-1, 1, env.goals.shape)


def policy(env_id, observation, goal, rng):
    """Random torques for the cheetahs; a walk to the goal that a third of the points complete."""
    if env_id != NAVIGATION_2D:
        return rng.uniform(-1.2, 1.2, (len(goal), 6)).astype(np.float32)
    walkers = np.arange(len(goal)) % 3 == 0
    noise = rng.normal(0, 0.1, goal.shape)
    return np.where(walkers[:, np.newaxis], goal - observation, noise)


def copy_state(env_id, vector_env, index, single_env):
    """Puts `single_env` into the state of environment `index`."""
    if env_id != NAVIGATION_2D:  # where every episode starts at the origin
        single_env.unwrapped.set_state(vector_env.qpos[index], vector_env.qvel[index])


@pytest.mark.parametrize("env_id", HORIZONS)
def test_equals_single_environments_over_whole_episodes(env_id):
    """Two episodes, so resets are covered; past the horizon, so its end is too."""
    num_envs, horizon = 6, HORIZONS[env_id]
    rng = np.random.default_rng(0)
    batched = make_vec(env_id, num_envs)
    singles = [gymnasium.make(env_id) for _ in range(num_envs)]
    completed = 0
    for episode in range(2):
        goals = goals_for(batched, rng)
        observations, _ = batched.reset(seed=episode or None, options={"goals": goals})
        for index, single in enumerate(singles):
            single.reset(options={"goal": goals[index]})
            copy_state(env_id, batched, index, single)
        over = np.zeros(num_envs, dtype=bool)
        for step in range(horizon):
            actions = policy(env_id, observations, goals, rng)
            last = observations
            observations, rewards, terminated, truncated, infos = batched.step(actions)
            for index, single in enumerate(singles):
                if over[index]:
                    np.testing.assert_array_equal(observations[index], last[index])
                    assert rewards[index] == 0.0 and (terminated | truncated)[index]
                    continue
                expected, reward, *ends, info = single.step(actions[index])
                # Bit by bit, but for the order in which a sum over the action is taken.
                np.testing.assert_array_equal(observations[index], expected)
                np.testing.assert_allclose(rewards[index], reward, rtol=0, atol=1e-12)
                assert [terminated[index], truncated[index]] == ends
                assert {key: value[index] for key, value in infos.items()} == pytest.approx(
                    info, rel=0, abs=1e-12
                )
            over = terminated | truncated
            assert truncated.any() == (step == horizon - 1)
        assert over.all()
        completed += int(terminated.sum())
    assert completed == (4 if env_id == NAVIGATION_2D else 0)


@pytest.mark.parametrize("env_id", HORIZONS)
def test_one_environment_starts_like_the_single_one_with_its_seed(env_id):
    batched, single = make_vec(env_id, 1), gymnasium.make(env_id)
    for seed in (5, None):  # and goes on drawing alike
        np.testing.assert_array_equal(batched.reset(seed=seed)[0][0], single.reset(seed=seed)[0])


@pytest.mark.parametrize("env_id", CHEETAHS)
def test_initial_states_have_the_distribution_of_v5(env_id):
    env = make_vec(env_id, 4000)
    env.reset(seed=0)
    qpos, qvel = env.qpos, env.qvel
    assert qpos.min() > -0.1 and qpos.max() < 0.1
    # U[-0.1, 0.1] has std 0.0577; 36,000 draws give standard errors of 3e-4 and 4e-4.
    np.testing.assert_allclose([qpos.mean(), qpos.std()], [0, 0.2 / 12**0.5], atol=1.5e-3)
    np.testing.assert_allclose([qvel.mean(), qvel.std()], [0, 0.1], atol=2.5e-3)
    assert len(np.unique(qpos)) == qpos.size  # nobody shares a draw


@pytest.mark.parametrize(("env_id", "power"), [(NAVIGATION_2D, 0.5), (NAVIGATION_2D_SQUARED, 1)])
def test_navigation_by_hand(env_id, power):
    env = make_vec(env_id, 3)
    goals = np.array([[0.1, 0.0], [0.3, -0.4], [0.0, 1.0]])
    observations, _ = env.reset(options={"goals": goals})
    np.testing.assert_array_equal(observations, np.zeros((3, 2)))
    actions = np.array([[9.0, 0.0], [0.25, -0.05], [0.0, -0.02]])
    observations, rewards, terminated, truncated, _ = env.step(actions)
    np.testing.assert_allclose(observations, [[0.1, 0.0], [0.1, -0.05], [0.0, -0.02]], rtol=1e-15)
    np.testing.assert_allclose(rewards, -(np.array([0.0, 0.1625, 1.0404]) ** power), rtol=1e-12)
    np.testing.assert_array_equal(terminated, [True, False, False])
    assert not truncated.any()


@pytest.mark.parametrize("env_id", HORIZONS)
def test_is_a_vector_env_with_autoreset_disabled(env_id):
    env = make_vec(env_id, 5)
    assert isinstance(env, VectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert env.spec.id == env_id and env.num_envs == 5
    single = gymnasium.make(env_id)
    assert env.single_observation_space == single.observation_space
    assert env.single_action_space == single.action_space
    observations, infos = env.reset(seed=1)
    assert observations in env.observation_space
    assert env.action_space.sample() in env.action_space
    observations, rewards, terminated, truncated, infos = env.step(env.action_space.sample())
    assert observations in env.observation_space
    assert (rewards.dtype, terminated.dtype, truncated.dtype) == (np.float64, bool, bool)
    assert rewards.shape == terminated.shape == truncated.shape == (5,)
    assert all(value.shape == (5,) for value in infos.values())
    listed = gymnasium.wrappers.vector.DictInfoToList(env).step(env.action_space.sample())[4]
    assert [set(info) for info in listed] == [set(infos)] * 5
    env.close()


@pytest.mark.parametrize("env_id", HORIZONS)
def test_returned_arrays_are_the_callers(env_id):
    env, twin = make_vec(env_id, 2), make_vec(env_id, 2)
    actions = np.ones(env.action_space.shape)
    kept = [env.reset(seed=0)[0]]
    step = env.step(actions)
    kept += [*step[:4], *step[4].values()]
    before = [array.copy() for array in kept]
    env.step(actions)
    for array, copy in zip(kept, before, strict=True):
        np.testing.assert_array_equal(array, copy)  # not overwritten by the next step
        array[...] = 1  # and not the simulation's own
    twin.reset(seed=0)
    for _ in range(3):
        expected = twin.step(actions)
    np.testing.assert_array_equal(env.step(actions)[0], expected[0])


def test_states_are_set_and_read_exactly():
    points = make_vec(NAVIGATION_2D, 2)
    points.reset()
    points.set_states([[0.5, 0.0], [1.0, -1.0]])
    points.positions[:] = 9.0
    np.testing.assert_allclose(
        points.step(np.full((2, 2), 0.1))[0], [[0.6, 0.1], [1.1, -0.9]], rtol=1e-15
    )
    with pytest.raises(ValueError, match=r"positions must have shape \(2, 2\), got \(2,\)"):
        points.set_states([0.0, 1.0])
    cheetahs = make_vec(HALF_CHEETAH_SPEED, 2)
    cheetahs.reset(seed=0)
    qpos, qvel = cheetahs.qpos + 0.01, cheetahs.qvel - 0.01
    cheetahs.set_states(qpos, qvel)
    np.testing.assert_array_equal(cheetahs.qpos, qpos)
    np.testing.assert_array_equal(cheetahs.qvel, qvel)
    with pytest.raises(ValueError, match=r"qvel must be finite, got nan at index \(0, 0\)"):
        cheetahs.set_states(qpos, qvel * np.nan)


def test_reaching_the_goal_at_the_horizon_sets_both_flags():
    batched = make_vec(NAVIGATION_2D, 1, max_episode_steps=1)
    single = gymnasium.make(NAVIGATION_2D, max_episode_steps=1)
    batched.reset(options={"goals": [[0.1, 0.1]]})
    single.reset(options={"goal": [0.1, 0.1]})
    assert single.step(np.full(2, 0.1))[2:4] == (True, True)
    _, _, terminated, truncated, _ = batched.step(np.full((1, 2), 0.1))
    assert terminated.all() and truncated.all()


@pytest.mark.parametrize("env_id", HORIZONS)
def test_mask_resets_only_its_environments(env_id):
    env = make_vec(env_id, 3, max_episode_steps=2)
    rng = np.random.default_rng(0)
    first = goals_for(env, rng)
    env.reset(seed=0, options={"goals": first})
    actions = 0.05 * np.ones(env.action_space.shape)
    env.step(actions)
    before, *_, truncated, _ = env.step(actions)
    assert truncated.all()
    mask = np.array([False, True, False])
    second = goals_for(env, rng)
    observations, _ = env.reset(options={"goals": second, "reset_mask": mask})
    np.testing.assert_array_equal(env.goals, np.where(mask[:, None], second, first))
    np.testing.assert_array_equal(observations[~mask], before[~mask])
    assert (observations[mask] != before[mask]).all()
    after, rewards, _, truncated, _ = env.step(actions)
    np.testing.assert_array_equal(truncated, [True, False, True])
    np.testing.assert_array_equal(rewards != 0, mask)
    np.testing.assert_array_equal((after != observations).any(axis=1), mask)
    assert env.step(actions)[3].all()


def test_every_environment_has_its_own_clock():
    env = make_vec(NAVIGATION_2D, 2, max_episode_steps=3)
    env.reset()
    actions = np.zeros((2, 2))
    env.step(actions)
    env.reset(options={"reset_mask": np.array([True, False])})
    truncated = [env.step(actions)[3].tolist() for _ in range(3)]
    assert truncated == [[False, False], [False, True], [True, True]]


@pytest.mark.parametrize("env_id", HORIZONS)
def test_goals_stay_and_are_copied(env_id):
    env = make_vec(env_id, 2)
    goals = goals_for(env, np.random.default_rng(0))
    expected = goals.copy()
    env.reset(seed=0, options={"goals": goals})
    goals[:] = 7.0
    env.reset(seed=1)
    np.testing.assert_array_equal(env.goals, expected)


def test_scalar_goals_may_leave_their_axis_out():
    env = make_vec(HALF_CHEETAH_SPEED, 2)
    env.reset(seed=0, options={"goals": [0.5, -1.0]})
    np.testing.assert_array_equal(env.goals, [[0.5], [-1.0]])


def test_threads_do_not_change_a_bit():
    runs = []
    for num_threads in (1, 2):
        env = make_vec(HALF_CHEETAH_LOCATION, 37, num_threads=num_threads)
        env.reset(seed=0)
        rng = np.random.default_rng(1)
        runs.append([env.step(rng.uniform(-1, 1, (37, 6)))[0] for _ in range(20)])
    np.testing.assert_array_equal(*runs)


def test_a_run_is_resumed_from_its_generator():
    env = make_vec(HALF_CHEETAH_SPEED, 4)
    env.reset(seed=0)
    state = env.np_random.bit_generator.state
    expected, _ = env.reset()
    resumed = make_vec(HALF_CHEETAH_SPEED, 4)
    resumed.np_random = np.random.default_rng()
    resumed.np_random.bit_generator.state = state
    np.testing.assert_array_equal(resumed.reset()[0], expected)


@pytest.mark.parametrize("env_id", CHEETAHS)
@pytest.mark.parametrize("joint, speed, warned", DIVERGING)
def test_a_diverging_simulation_is_cut_and_the_others_go_on(env_id, joint, speed, warned):
    env, calm = make_vec(env_id, 3), make_vec(env_id, 3)
    for each in (env, calm):
        each.reset(seed=0)
    qvel = env.qvel
    qvel[1, joint] = speed
    env.set_states(env.qpos, qvel)
    before = np.concatenate([env.qpos, qvel], axis=1)[1, -env.observation_space.shape[1] :]
    actions = np.full((3, 6), 0.5)
    only_second = np.array([False, True, False])
    for _ in range(3):
        observations, rewards, terminated, truncated, infos = env.step(actions)
        expected, expected_rewards, *_ = calm.step(actions)
        np.testing.assert_array_equal(terminated, only_second)
        np.testing.assert_array_equal(infos["diverged"], only_second)
        np.testing.assert_array_equal(observations[1], before)
        np.testing.assert_array_equal(observations[[0, 2]], expected[[0, 2]])
        np.testing.assert_array_equal(rewards, expected_rewards * ~only_second)
        assert infos["x_velocity"][1] == 0.0 and not truncated.any()
        assert env._warning_counts[1].any() == warned
        assert env.num_diverged == 1  # episodes, not steps
    observations, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observations, calm.reset(seed=0)[0])
    assert not env.step(actions)[4]["diverged"].any() and env.num_diverged == 1


@pytest.mark.parametrize("env_id", HORIZONS)
@pytest.mark.parametrize("bad", ["nan", "inf", "shape", "single", "text", "none"])
def test_bad_actions_and_goals_get_one_line(env_id, bad):
    env = make_vec(env_id, 3)
    env.reset(seed=0)
    actions, goals = np.zeros(env.action_space.shape), env.goals.copy()
    if bad in ("nan", "inf"):
        actions[2, 1] = goals[1, 0] = float(bad)
    else:
        other = {"shape": np.zeros((4, 2)), "single": 0.5, "text": "left", "none": None}[bad]
        actions = goals = other
    before = env.goals.copy()
    for name, call in (
        ("actions", lambda: env.step(actions)),
        ("goals", lambda: env.reset(options={"goals": goals})),
    ):
        with pytest.raises(ValueError, match=f"^{name} must") as raised:
            call()
        assert "\n" not in str(raised.value)
    np.testing.assert_array_equal(env.goals, before)


def test_messages_say_what_was_given_and_what_is_allowed():
    env = make_vec(NAVIGATION_2D, 3)
    env.reset()
    with pytest.raises(ValueError, match=r"actions must have shape \(3, 2\), got \(2, 3\)"):
        env.step(np.zeros((2, 3)))
    actions = np.zeros((3, 2))
    actions[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"actions must be finite, got nan at index \(1, 0\)"):
        env.step(actions)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"goal": [0.0, 0.0]}, r"unknown reset options \['goal'\]; allowed: \['goals', 'reset_m"),
        ({"reset_mask": np.zeros(3, dtype=bool)}, "at least one"),
        ({"reset_mask": np.ones(2, dtype=bool)}, "shape"),
        ({"reset_mask": np.ones(3)}, "bool"),
    ],
)
def test_bad_reset_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_vec(NAVIGATION_2D, 3).reset(options=options)


@pytest.mark.parametrize("env_id", HORIZONS)
@pytest.mark.parametrize("argument", ["num_envs", "max_episode_steps"])
def test_empty_batches_and_horizons_are_refused(env_id, argument):
    with pytest.raises(ValueError, match=f"{argument} must be at least 1, got 0"):
        make_vec(env_id, **{"num_envs": 2, argument: 0})
