"""[MAML]'s environments: rewards by hand, what is observed, ends, and the batched twins."""

import copy

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from data.goals import GOALS
from data.reinforcement import DOMAINS
from mmaml_tf.envs import (
    HALF_CHEETAH_LOCATION,
    HALF_CHEETAH_SPEED,
    NAVIGATION_2D,
    NAVIGATION_2D_SQUARED,
    ROBOT_ENVS,
)
from mmaml_tf.envs.own_vector import OwnVectorEnv, make_batch
from mmaml_tf.envs.simulator import mujoco
from mmaml_tf.rl.config import paper_settings

CHEETAHS = [env_id for env_id in ROBOT_ENVS if "Cheetah" in env_id]
ANTS = [env_id for env_id in ROBOT_ENVS if "Ant" in env_id]
# Joint velocities that leave our limit without, and with, a warning from MuJoCo.
DIVERGING = [(0, 2000.0, False), (7, 1e7, True)]


ENVIRONMENTS = {
    "navigation_2d": NAVIGATION_2D,
    "navigation_2d_wide": NAVIGATION_2D_SQUARED,
    "cheetah_location": HALF_CHEETAH_LOCATION,
    "cheetah_speed": HALF_CHEETAH_SPEED,
    "maml_navigation": NAVIGATION_2D,
    "maml_cheetah_velocity": "mmaml_tf/HalfCheetahVelocity-v0",
    "maml_cheetah_direction": "mmaml_tf/HalfCheetahDirection-v0",
    "maml_ant_velocity": "mmaml_tf/AntVelocity-v0",
    "maml_ant_direction": "mmaml_tf/AntDirection-v0",
}


pytestmark = pytest.mark.usefixtures("in_empty_folder")


def make_vec(env_id, num_envs, **kwargs):
    return gymnasium.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs
    )


def torques(env, rng, size=1.2):
    return rng.uniform(-size, size, env.action_space.shape).astype(np.float32)


@pytest.mark.filterwarnings("ignore::UserWarning")  # unbounded spaces, as in v5
@pytest.mark.parametrize("env_id", ROBOT_ENVS)
def test_passes_gymnasiums_checker(env_id):
    check_env(gymnasium.make(env_id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("env_id", CHEETAHS)
def test_a_cheetahs_step_by_hand(env_id):
    """A hundredth of a second of Gymnasium's model, which is that of [MAML]'s code."""
    env, v5 = gymnasium.make(env_id), gymnasium.make("HalfCheetah-v5", frame_skip=1)
    goal = -1.0 if "Direction" in env_id else 1.5
    env.reset(seed=0, options={"goal": goal})
    v5.reset(seed=0)
    cheetah, other = env.unwrapped, v5.unwrapped
    assert cheetah.model.opt.timestep == 0.01
    other.set_state(cheetah.data.qpos, cheetah.data.qvel)
    mass = other.model.body_mass[1:]
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-1.5, 1.5, 6).astype(np.float32)
        observation, reward, *_, info = env.step(action)
        other.do_simulation(np.clip(action, -1, 1), 1)
        mujoco.mj_forward(other.model, other.data)
        centre = mass @ other.data.xipos[1:] / mass.sum()
        expected = np.concatenate([other.data.qpos[1:], other.data.qvel, centre])
        np.testing.assert_allclose(observation, expected, rtol=0, atol=1e-12)
        mujoco.mj_subtreeVel(other.model, other.data)
        velocity = other.data.subtree_linvel[0, 0]
        np.testing.assert_allclose(info["x_velocity"], velocity, rtol=1e-12)
        cost = 0.05 * sum(min(abs(float(a)), 1.0) ** 2 for a in action)
        paid = -velocity if goal == -1.0 else -abs(velocity - 1.5)
        np.testing.assert_allclose(reward, paid - cost, rtol=1e-12)


@pytest.mark.parametrize("env_id", ROBOT_ENVS)
def test_the_velocity_is_that_of_the_centre_of_mass(env_id):
    env = gymnasium.make(env_id).unwrapped
    env.reset(seed=0)
    env.set_state(env._start, np.eye(env.model.nv)[0] * 0.7)  # all of it moves along x
    np.testing.assert_allclose(env._x_velocity, 0.7, rtol=1e-12)
    observed = env._observed[-3:]
    env.set_state(env._start + np.eye(env.model.nq)[0], np.zeros(env.model.nv))
    np.testing.assert_allclose(env._observed[-3:] - observed, [1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("env_id", ANTS)
def test_an_ants_step_by_hand(env_id):
    env = gymnasium.make(env_id)
    goal = -1.0 if "Direction" in env_id else 2.0
    first, _ = env.reset(seed=0, options={"goal": goal})
    ant = env.unwrapped
    assert (ant.model.opt.timestep, ant.model.opt.integrator) == (0.02, 1)  # RK4
    # It starts low, on bent legs, and not where the model's file has it.
    np.testing.assert_allclose(first[:3], [0, 0, 0.55], atol=0.05)
    np.testing.assert_allclose(first[7:15], [0, 1, 0, -1, 0, -1, 0, 1], atol=0.05)
    np.testing.assert_array_equal(ant.model.geom_solimp[:, :3], [[0.8, 0.8, 0.01]] * 14)
    rng = np.random.default_rng(0)
    touched = 0
    for _ in range(40):
        action = rng.uniform(-1.5, 1.5, 8).astype(np.float32)
        observation, reward, terminated, _, info = env.step(action)
        data = ant.data
        mujoco.mj_rnePostConstraint(ant.model, data)
        forces = np.clip(data.cfrc_ext, -1, 1)
        np.testing.assert_array_equal(observation[:29], np.concatenate([data.qpos, data.qvel]))
        np.testing.assert_array_equal(observation[29:113], forces.ravel())
        np.testing.assert_array_equal(observation[113:122], data.xmat[1])
        np.testing.assert_array_equal(observation[122:], data.subtree_com[1])
        velocity = info["x_velocity"]
        cost = 0.005 * sum(min(abs(float(a)), 1.0) ** 2 for a in action)
        cost += 0.0005 * np.square(forces).sum()
        paid = -velocity if goal == -1.0 else 1 - abs(velocity - 2.0)
        np.testing.assert_allclose(reward, paid + 0.05 - cost, rtol=1e-12)
        touched += np.abs(forces).max() == 1
        assert terminated == (not 0.2 <= data.qpos[2] <= 1.0)
        if terminated:
            break
    assert touched


@pytest.mark.parametrize("height, ends", [(0.15, True), (0.55, False), (1.05, True)])
def test_an_ant_ends_when_it_is_too_low_or_too_high(height, ends):
    env, batch = gymnasium.make(ANTS[0]), make_vec(ANTS[0], 2)
    env.reset(seed=0)
    batch.reset(seed=0)
    qpos = env.unwrapped._start.copy()
    qpos[2] = height
    env.unwrapped.set_state(qpos, np.zeros(14))
    batch.set_states([env.unwrapped._start, qpos], np.zeros((2, 14)))
    assert env.step(np.zeros(8))[2] == ends
    np.testing.assert_array_equal(batch.step(np.zeros((2, 8)))[2], [False, ends])


@pytest.mark.parametrize("env_id", ROBOT_ENVS)
def test_the_twin_equals_single_environments_over_whole_episodes(env_id):
    """Two episodes, so resets are covered; past an ant's fall, so that its end is too."""
    num_envs, rng = 4, np.random.default_rng(0)
    batch = make_vec(env_id, num_envs)
    singles = [gymnasium.make(env_id) for _ in range(num_envs)]
    falls = 0
    for episode in range(2):
        goals = rng.uniform(-1, 1, (num_envs, 1))
        last, _ = batch.reset(seed=episode or None, options={"goals": goals})
        for index, single in enumerate(singles):
            single.reset(options={"goal": goals[index]})
            single.unwrapped.set_state(batch.qpos[index], batch.qvel[index])
        over = np.zeros(num_envs, bool)
        for _ in range(200):
            actions = torques(batch, rng)
            observations, rewards, terminated, truncated, infos = batch.step(actions)
            for index, single in enumerate(singles):
                if over[index]:
                    np.testing.assert_array_equal(observations[index], last[index])
                    assert rewards[index] == 0.0 and (terminated | truncated)[index]
                    continue
                seen, reward, *ends, info = single.step(actions[index])
                np.testing.assert_array_equal(observations[index], seen)
                np.testing.assert_allclose(rewards[index], reward, rtol=0, atol=1e-12)
                assert [terminated[index], truncated[index]] == ends
                assert {key: value[index] for key, value in infos.items()} == info
            last, over = observations, terminated | truncated
        falls += terminated.sum()
        assert over.all()
    assert (falls > 0) == (env_id in ANTS)


@pytest.mark.parametrize("env_id", [CHEETAHS[0], ANTS[1]])
def test_gymnasiums_vector_environments_equal_the_twin(env_id):
    twin, own = make_batch(env_id, 1, np.ones(1)), OwnVectorEnv(env_id, 1, np.ones(1))
    own.reset(seed=0)
    seed = int(np.random.default_rng(0).integers(2**31))  # the one that it draws
    assert own._observe().tolist() == twin.reset(seed=seed)[0].tolist()
    rng = np.random.default_rng(1)
    for _ in range(10):
        actions = torques(twin, rng, size=0.9)
        for one, other in zip(own.step(actions)[:4], twin.step(actions)[:4], strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("env_id", ROBOT_ENVS)
def test_one_environment_starts_like_the_single_one_with_its_seed(env_id):
    batch, single = make_vec(env_id, 1), gymnasium.make(env_id)
    for seed in (5, None):  # and goes on drawing alike
        np.testing.assert_array_equal(batch.reset(seed=seed)[0][0], single.reset(seed=seed)[0])


@pytest.mark.parametrize("env_id", [CHEETAHS[0], ANTS[0]])
def test_initial_states(env_id):
    env = make_vec(env_id, 4000)
    env.reset(seed=0)
    noise = env.qpos - env._start
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 0.01], atol=2.5e-4)
    np.testing.assert_allclose([env.qvel.mean(), env.qvel.std()], [0, 0.1], atol=2.5e-3)


@pytest.mark.parametrize("env_id", [CHEETAHS[0], ANTS[0]])
def test_threads_do_not_change_a_bit(env_id):
    runs = []
    for num_threads in (1, 2):
        env = make_vec(env_id, 37, num_threads=num_threads)
        env.reset(seed=0)
        rng = np.random.default_rng(1)
        runs.append([env.step(torques(env, rng))[0] for _ in range(20)])
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize("env_id", [CHEETAHS[0], ANTS[0]])
@pytest.mark.parametrize("joint, speed, warned", DIVERGING)
def test_a_diverging_simulation_is_cut_and_the_others_go_on(env_id, joint, speed, warned):
    env, calm, single = make_vec(env_id, 3), make_vec(env_id, 3), gymnasium.make(env_id)
    for each in (env, calm, single):
        each.reset(seed=0)
    qvel = env.qvel
    qvel[1, joint] = speed
    env.set_states(env.qpos, qvel)
    single.unwrapped.set_state(env.qpos[1], qvel[1])
    before = env._observe()[1]
    only_second = np.array([False, True, False])
    actions = np.full(env.action_space.shape, 0.1)
    for _ in range(3):
        observations, rewards, terminated, truncated, infos = env.step(actions)
        expected, expected_rewards, *_ = calm.step(actions)
        np.testing.assert_array_equal(terminated, only_second)
        np.testing.assert_array_equal(infos["diverged"], only_second)
        np.testing.assert_array_equal(observations[1], before)
        np.testing.assert_array_equal(observations[[0, 2]], expected[[0, 2]])
        np.testing.assert_array_equal(rewards, expected_rewards * ~only_second)
        assert not truncated.any() and env.num_diverged == 1  # episodes, not steps
        assert env._warning_counts[1].any() == warned
        observation, reward, *ends, info = single.step(actions[1])
        np.testing.assert_array_equal(observation, before)
        assert (reward, ends, info["diverged"]) == (0.0, [True, False], True)
    observations, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observations, calm.reset(seed=0)[0])
    assert not env.step(actions)[4]["diverged"].any() and env.num_diverged == 1


@pytest.mark.parametrize("env_id", [CHEETAHS[0], ANTS[0]])
def test_goals_stay_and_bad_input_gets_one_line(env_id):
    env = copy.deepcopy(gymnasium.make(env_id, disable_env_checker=True))
    env.reset(seed=0, options={"goal": 0.25})
    env.reset()
    np.testing.assert_array_equal(env.unwrapped.goal, [0.25])
    with pytest.raises(ValueError, match="^goal must have shape"):
        env.reset(options={"goal": [1.0, 2.0]})
    with pytest.raises(ValueError, match="^action must be finite"):
        env.step(np.full(env.action_space.shape, np.nan))
    with pytest.raises(ValueError, match="unknown reset options"):
        env.reset(options={"goals": 1.0})


def test_every_domain_has_its_environment_and_its_published_settings():
    for name in GOALS:
        own = DOMAINS[name]
        assert own.env_id == ENVIRONMENTS[name]
        horizon = 100 if "navigation" in name else 200
        assert gymnasium.spec(own.env_id).max_episode_steps == horizon
        assert make_batch(own.env_id, 1, own.goals.sample(0, 2)[0][0]).num_envs == 1

    def chosen(domain, method="maml"):
        own = DOMAINS[domain]
        return paper_settings(domain, method, own.goals.mode_names, own.settings_of(method))

    names = ("meta_batch_size", "rollouts", "inner_lr", "max_kl")
    expected = {
        "navigation_2d": (20, 20, 0.5, 0.01),
        "navigation_2d_wide": (20, 20, 0.1, 0.01),
        "cheetah_speed": (40, 20, 0.1, 0.01),
        "maml_navigation": (20, 20, 0.5, 0.01),
        "maml_cheetah_velocity": (40, 20, 0.1, 0.01),
        "maml_cheetah_direction": (40, 20, 0.1, 0.02),
        "maml_ant_velocity": (40, 20, 0.1, 0.01),
        "maml_ant_direction": (40, 40, 0.1, 0.01),
    }
    for domain, values in expected.items():
        assert tuple(chosen(domain)[name] for name in names) == values
    for method, rates in {
        "pretrained": [0.5, 0.02, 0.2, 0.2, 0.2],
        "random": [0.5, 0.1, 1.0, 1.0, 1.0],
        "oracle": [None] * 5,  # takes no steps
    }.items():
        published = [name for name in GOALS if name.startswith("maml_")]
        assert [chosen(name, method)["inner_lr"] for name in published] == rates
        assert chosen("maml_cheetah_direction", "random")["max_kl"] is None
