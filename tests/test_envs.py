"""The single environments: dynamics and rewards by hand, the checker, bad input, pictures."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from PIL import Image

from mmaml_tf.envs import (
    HALF_CHEETAH_LOCATION,
    HALF_CHEETAH_SPEED,
    NAVIGATION_2D,
    NAVIGATION_2D_SQUARED,
    RendererUnavailableError,
    save_animation,
)
from mmaml_tf.envs.rendering import AGENT, AXES, BACKGROUND, GOAL, TRAIL, draw_navigation
from mmaml_tf.envs.replay import save_replay
from mmaml_tf.errors import RunError

ROOT = Path(__file__).resolve().parents[1]
CHEETAHS = [HALF_CHEETAH_LOCATION, HALF_CHEETAH_SPEED]
HORIZONS = {NAVIGATION_2D: 100, HALF_CHEETAH_LOCATION: 200, HALF_CHEETAH_SPEED: 200}
# Joint velocities that leave our limit without, and with, a warning from MuJoCo.
DIVERGING = [(0, 1001.0, False), (5, 1e6, True), (5, 1e11, True)]


pytestmark = pytest.mark.usefixtures("in_empty_folder")


def make(env_id, **kwargs):
    return gymnasium.make(env_id, **kwargs)


@pytest.mark.filterwarnings("ignore::UserWarning")  # unbounded spaces, as in v5
@pytest.mark.parametrize("env_id", HORIZONS)
def test_passes_gymnasiums_checker(env_id):
    can_render = env_id == NAVIGATION_2D
    check_env(make(env_id).unwrapped, skip_render_check=not can_render)


@pytest.mark.parametrize("env_id", HORIZONS)
def test_horizon_truncates_at_the_last_step_only(env_id):
    env = make(env_id)
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape)
    ends = [env.step(action)[2:4] for _ in range(HORIZONS[env_id])]
    assert ends == [(False, False)] * (HORIZONS[env_id] - 1) + [(False, True)]


@pytest.mark.parametrize(
    ("env_id", "paid"), [(NAVIGATION_2D, 0.1625**0.5), (NAVIGATION_2D_SQUARED, 0.1625)]
)
def test_navigation_step_by_hand(env_id, paid):
    env = make(env_id)
    observation, _ = env.reset(options={"goal": [0.3, -0.4]})
    np.testing.assert_array_equal(observation, [0.0, 0.0])
    # Clipped per axis: (0.25, -0.05) moves by (0.1, -0.05). Then 0.2² + 0.35² are left.
    observation, reward, terminated, truncated, _ = env.step(np.array([0.25, -0.05]))
    np.testing.assert_allclose(observation, [0.1, -0.05], rtol=1e-15)
    np.testing.assert_allclose(reward, -paid, rtol=1e-12)
    assert observation.dtype == np.float64
    assert (terminated, truncated) == (False, False)


@pytest.mark.parametrize(
    "goal, ends",
    [([0.108, -0.058], True), ([0.111, -0.05], False), ([0.1, -0.061], False)],
)
def test_navigation_ends_within_a_hundredth_on_both_axes(goal, ends):
    env = make(NAVIGATION_2D)
    env.reset(options={"goal": goal})
    assert env.step(np.array([0.1, -0.05]))[2] is ends


@pytest.mark.parametrize("env_id", CHEETAHS)
def test_cheetah_moves_like_v5_and_is_paid_for_its_goal(env_id):
    ours, v5 = make(env_id), gymnasium.make("HalfCheetah-v5")
    goal = -0.7
    observation, _ = ours.reset(seed=3, options={"goal": goal})
    expected, _ = v5.reset(seed=3)
    np.testing.assert_array_equal(observation[-17:], expected)
    rng = np.random.default_rng(0)
    for _ in range(20):
        x_before = ours.unwrapped.data.qpos[0]
        action = rng.uniform(-1.5, 1.5, 6).astype(np.float32)
        observation, reward, terminated, _, info = ours.step(action)
        expected, _, _, _, v5_info = v5.step(action)
        np.testing.assert_array_equal(observation[-17:], expected)
        assert observation.dtype == np.float64 and not terminated
        x_after = ours.unwrapped.data.qpos[0]
        achieved = x_after
        if env_id == HALF_CHEETAH_SPEED:
            assert observation.shape == (17,)
            achieved = (x_after - x_before) / 0.05
        else:
            assert observation.shape == (18,) and observation[0] == x_after
        cost = 0.05 * sum(min(abs(float(a)), 1.0) ** 2 for a in action)
        np.testing.assert_allclose(reward, -abs(achieved - goal) - cost, rtol=1e-12)
        np.testing.assert_allclose(info["x_position"], v5_info["x_position"], rtol=0)
        np.testing.assert_allclose(info["x_velocity"], v5_info["x_velocity"], rtol=1e-12)


@pytest.mark.parametrize("env_id", HORIZONS)
def test_goal_stays_until_another_is_given(env_id):
    env = make(env_id)
    dim = 2 if env_id == NAVIGATION_2D else 1
    env.reset(seed=0)
    np.testing.assert_array_equal(np.abs(env.unwrapped.goal), np.abs(env.unwrapped.goal[0]))
    env.reset(options={"goal": np.full(dim, 0.25)})
    env.reset(seed=1)
    np.testing.assert_array_equal(env.unwrapped.goal, np.full(dim, 0.25))


def test_goal_is_copied_from_the_caller():
    env = make(NAVIGATION_2D)
    goal = np.array([1.0, 1.0])
    env.reset(options={"goal": goal})
    goal[:] = 9.0
    np.testing.assert_array_equal(env.unwrapped.goal, [1.0, 1.0])


@pytest.mark.parametrize("env_id", HORIZONS)
@pytest.mark.parametrize("bad", ["nan", "inf", "shape", "text", "none"])
def test_bad_actions_and_goals_get_one_line(env_id, bad):
    env = make(env_id, disable_env_checker=True)
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape)
    goal = env.unwrapped.goal.copy()
    if bad in ("nan", "inf"):
        action[1] = goal[0] = float(bad)
    else:
        action = goal = {"shape": np.zeros((3, 3)), "text": "left", "none": None}[bad]
    for name, call in (
        ("action", lambda: env.step(action)),
        ("goal", lambda: env.reset(options={"goal": goal})),
    ):
        with pytest.raises(ValueError, match=f"^{name} must") as raised:
            call()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("env_id", [NAVIGATION_2D, HALF_CHEETAH_SPEED])
def test_misspelt_reset_option_is_refused(env_id):
    with pytest.raises(ValueError, match=r"unknown reset options \['goals'\]; allowed: \['goal'\]"):
        make(env_id).reset(options={"goals": [0.0]})


@pytest.mark.parametrize("joint, speed, warned", DIVERGING)
def test_diverging_simulation_ends_the_episode_with_its_last_sound_state(joint, speed, warned):
    env = make(HALF_CHEETAH_SPEED)
    first, _ = env.reset(seed=0)
    cheetah = env.unwrapped
    qvel = cheetah.data.qvel.copy()
    qvel[joint] = speed
    cheetah.set_state(cheetah.data.qpos.copy(), qvel)
    before = cheetah._get_obs()
    for _ in range(2):  # and stays ended
        observation, reward, terminated, truncated, info = env.step(np.ones(6))
        assert cheetah.data.warning.number.any() == warned
        np.testing.assert_array_equal(observation, before)
        assert (reward, terminated, truncated) == (0.0, True, False)
        assert info["diverged"] and info["x_velocity"] == 0.0
    again, _ = env.reset(seed=0)
    np.testing.assert_array_equal(again, first)
    assert not env.step(np.ones(6))[4]["diverged"]


def test_a_copied_environment_keeps_its_kind():
    env = make(HALF_CHEETAH_LOCATION).unwrapped
    twin = copy.deepcopy(env)
    assert type(twin) is type(env) and twin.observation_space.shape == (18,)


def test_navigation_picture_shows_goal_trail_and_agent():
    trail = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    frame = draw_navigation(trail, np.array([-2.0, -3.0]), size=81, extent=4.0)  # 10 pixels a unit

    def at(x, y):
        return tuple(int(channel) for channel in frame[40 - round(10 * y), 40 + round(10 * x)])

    assert frame.shape == (81, 81, 3) and frame.dtype == np.uint8
    assert at(-2, -3) == GOAL
    assert at(1, 2) == AGENT
    assert at(0, 0) == at(1, 0) == TRAIL
    assert at(3, 0) == at(0, -3) == AXES
    assert at(3, 3) == at(2, 1) == at(-3, -2) == BACKGROUND


def test_navigation_renders_its_own_episode():
    env = make(NAVIGATION_2D, render_mode="rgb_array")
    trail = [env.reset(options={"goal": [-1.0, 1.0]})[0]]
    trail += [env.step(np.array([0.1, 0.1]))[0] for _ in range(20)]
    expected = draw_navigation(np.array(trail), np.array([-1.0, 1.0]), extent=2.0)
    np.testing.assert_array_equal(env.render(), expected)
    env.reset()
    np.testing.assert_array_equal(
        env.render(), draw_navigation(np.zeros((1, 2)), np.array([-1.0, 1.0]), extent=2.0)
    )


def test_points_outside_the_picture_are_drawn_on_its_border():
    frame = draw_navigation(np.array([[99.0, 0.0]]), np.array([0.0, -99.0]), size=81)
    assert tuple(frame[40, 80]) == AGENT and tuple(frame[80, 40]) == GOAL


def test_cheetah_renders_or_says_what_is_missing():
    # In a process of its own: with TensorFlow in it, as here, drawing by Mesa crashes.
    code = (
        "import gymnasium, sys, mmaml_tf.envs as e\n"
        "env = gymnasium.make(e.HALF_CHEETAH_LOCATION, render_mode='rgb_array')\n"
        "frames = []\n"
        "for goal in (0.5, 500.0):\n"
        "    env.reset(seed=0, options={'goal': goal})\n"
        "    try: frames.append(env.render())\n"
        "    except e.RendererUnavailableError as error: sys.exit(f'unavailable: {error}')\n"
        "    env.close()\n"
        "near, far = frames\n"
        "assert near.shape == (480, 480, 3) and near.dtype == 'uint8', near\n"
        "def red(image):\n"  # the goal post is the only thing in the scene that is red
        "    red, green = image[..., 0].astype(int), image[..., 1].astype(int)\n"
        "    return int(((red > 2 * green) & (red > 60)).sum())\n"
        "assert red(near) > 200 and red(far) == 0, (red(near), red(far))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.stderr.startswith("unavailable"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


def test_missing_renderer_is_one_line(monkeypatch):
    from mmaml_tf.envs.simulator import mujoco

    def unavailable(*args):
        raise mujoco.FatalError("gladLoadGL error\nwith details")

    monkeypatch.setattr(mujoco, "Renderer", unavailable)
    env = make(HALF_CHEETAH_SPEED, render_mode="rgb_array", disable_env_checker=True)
    env.reset(seed=0)
    with pytest.raises(RendererUnavailableError) as raised:
        env.render()
    message = str(raised.value)
    assert "MUJOCO_GL=egl" in message and "MUJOCO_GL=osmesa" in message
    assert "gladLoadGL error" in message and "\n" not in message
    assert raised.value.__suppress_context__


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one renderer of their own")
def test_no_display_is_one_line_in_a_real_process():
    code = (
        "import gymnasium, mmaml_tf.envs as e;"
        "env = gymnasium.make(e.HALF_CHEETAH_SPEED, render_mode='rgb_array'); env.reset();"
        "env.unwrapped.render()"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= {"MUJOCO_GL": "glfw", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("mmaml_tf.envs.rendering.RendererUnavailableError: MuJoCo cannot")
    assert "GLFWError" not in done.stderr and "mujoco.FatalError" not in done.stderr


def test_animation_keeps_frames_and_speed(tmp_path):
    frames = [np.full((8, 8, 3), value, dtype=np.uint8) for value in (0, 120, 240)]
    path = save_animation(frames, tmp_path / "new" / "episode.gif", fps=20)
    with Image.open(path) as image:
        assert image.n_frames == 3 and image.info["duration"] == 50 and image.info["loop"] == 0
        for index, frame in enumerate(frames):
            image.seek(index)
            np.testing.assert_array_equal(np.array(image.convert("RGB")), frame)


@pytest.mark.parametrize(
    "count, name, fps, message",
    [
        (0, "a.gif", 20, "got none"),
        (1, "a.mp4", 20, r"as \.gif, got a\.mp4"),
        (1, "a.gif", 0, "fps"),
    ],
)
def test_animations_that_cannot_be_saved_are_refused(tmp_path, count, name, fps, message):
    frames = [np.zeros((4, 4, 3), dtype=np.uint8)] * count
    with pytest.raises(ValueError, match=message):
        save_animation(frames, tmp_path / name, fps=fps)


def test_replay_of_episodes_draws_every_step(tmp_path):
    actions = [np.full((3, 2), 0.1), np.full((2, 2), -0.1)]
    save_replay(NAVIGATION_2D, np.array([[1.0, 1.0], [-1.0, 0.5]]), actions, tmp_path / "two.gif")
    with Image.open(tmp_path / "two.gif") as animation:
        assert animation.n_frames == 5


def test_replay_without_a_renderer_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "no_such_library")
    with pytest.raises(RunError, match="no_such_library"):
        save_replay(HALF_CHEETAH_SPEED, np.ones((1, 1)), [np.zeros((2, 6))], tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()
