"""The SavedModel adapts on a live environment in a process that knows TensorFlow and Gymnasium."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.rl.export import drawn_actions
from mmaml_tf.rl.rollouts import Rollouts
from tests.rl_problem import tiny_domain

ROOT = Path(__file__).resolve().parents[1]
AGENT = """
import sys
import gymnasium
import numpy as np
import tensorflow as tf
import mmaml_tf.envs  # registers the environment; NumPy and Gymnasium only

model = tf.saved_model.load(sys.argv[1]).signatures
env = gymnasium.make("mmaml_tf/Navigation2D-v0")
goal = np.array([1.0, -2.0])

def episode(act, seed):
    seen, done, rewards, live = np.zeros((100, 2)), np.zeros((100, 2)), np.zeros(100), np.zeros(100)
    observation, _ = env.reset(options={"goal": goal})
    for t in range(100):
        now = tf.constant(observation[None, None], tf.float32)
        action = act(observations=now, seed=tf.constant([seed, t]))["actions"].numpy()[0, 0]
        seen[t], done[t], live[t] = observation, action, 1
        observation, rewards[t], terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    return seen, done, rewards, live

def batch(episodes):
    names = ("observations", "actions", "rewards", "mask")
    return {n: tf.constant(np.stack(p)[None], tf.float32)
            for n, p in zip(names, zip(*episodes))}

first = batch([episode(model["explore"], 0)])
state = dict(model["modulate"](**first))
assert state.pop("task_embedding").shape == (1, 4)
assert {name for name in state if name.startswith("tau")} == {"tau_0", "tau_1"}
returns, saved = [], {f"first_{name}": value for name, value in first.items()}
saved |= {f"modulated_{name}": value for name, value in state.items()}
for step in range(2):
    act = lambda **inputs: model["act"](**inputs, **state)
    rollouts = batch([episode(act, 1 + 50 * step + i) for i in range(10)])
    returns.append(float(tf.reduce_sum(rollouts["rewards"])) / 10)
    state = dict(model["adapt"](**rollouts, step=tf.constant(step), **state))
    saved |= {f"rollouts_{step}_{name}": value for name, value in rollouts.items()}
    saved |= {f"adapted_{step}_{name}": value for name, value in state.items()}
np.savez(sys.argv[2], returns=returns, **saved)
beyond = {name.split(".")[0] for name in sys.modules} & {"tensorflow_probability", "mujoco"}
ours = {name for name in sys.modules if name.startswith("mmaml_tf.")}
assert not beyond and all(name.startswith("mmaml_tf.envs") for name in ours), (beyond, ours)
"""


def test_a_fresh_process_adapts_on_a_live_environment(tmp_path):
    # An untrained policy's episodes vary; a step of 1 helps by 50 and more for any of six seeds.
    domain = tiny_domain("mumomaml", inner_lr=1.0)
    learner = domain.build_learner()
    domain.export(learner, tmp_path / "model")
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "model"), str(tmp_path / "out.npz")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    saved = np.load(tmp_path / "out.npz")
    assert saved["returns"][1] > saved["returns"][0]  # one step goes towards the goal
    # The same experience in this process gives the same fast weights.
    fields = ("observations", "actions", "rewards", "mask")

    def rollouts(prefix):
        parts = Rollouts(*(tf.constant(saved[f"{prefix}_{field}"]) for field in fields))
        return parts._replace(actions=parts.actions / 0.1)  # to the policy's units

    tau, _ = learner.modulate(rollouts("first"))
    fast = learner.network.prior()
    for index, value in enumerate(tau):
        np.testing.assert_allclose(saved[f"modulated_tau_{index}"], value, rtol=1e-4, atol=1e-5)
    for step, alpha in enumerate(learner.evaluation_rates(2)):
        data = learner.policy_data(rollouts(f"rollouts_{step}"))
        fast = learner.inner_step(fast, tau, data, tf.constant(alpha))
        for index, (layer, weights) in enumerate(
            zip(learner.network.plan.layers, fast, strict=True)
        ):
            for variable, value in zip(layer.trainable_variables, weights.parts, strict=True):
                served = saved[f"adapted_{step}_fast_{index}_{variable.name}"]
                np.testing.assert_allclose(served, value, rtol=1e-3, atol=1e-4)


SEED = np.zeros(2, np.int32)
SIZES = {"observations": [2], "actions": [2], "rewards": [], "mask": []}


def played(tasks, episodes=3, horizon=5):
    """Random episodes, the first of every task one step shorter."""
    rng = np.random.default_rng(0)
    batch = {
        name: rng.normal(size=(tasks, episodes, horizon, *width)).astype(np.float32)
        for name, width in SIZES.items()
    }
    batch["mask"] = np.ones_like(batch["mask"])
    batch["mask"][:, 0, -1] = batch["rewards"][:, 0, -1] = 0
    return batch


@pytest.fixture(scope="module", params=["maml", "mumomaml"])
def model(request, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("export") / "model")
    domain = tiny_domain(request.param)
    domain.export(domain.build_learner(), path)
    return tf.saved_model.load(path)


@pytest.fixture(scope="module")
def agent(model):
    """The signatures, of NumPy arrays."""

    def caller(name):
        return lambda **inputs: model.signatures[name](
            **{key: tf.constant(value) for key, value in inputs.items()}
        )

    return {name: caller(name) for name in model.signatures}


def state_of(agent, tasks):
    state = dict(agent["modulate"](**played(tasks)))
    state.pop("task_embedding", None)
    return {name: value.numpy() for name, value in state.items()}


def refusal(call, **inputs):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        call(**inputs)
    return str(error.value)


def test_drawn_actions_are_the_policys():
    outputs = tf.tile([[[1.0, -2.0, np.log(0.5), np.log(3.0)]]], [1, 10_000, 1])
    center, scale = np.array([0.5, 0.0], np.float32), np.array([0.1, 2.0], np.float32)
    drawn = drawn_actions(outputs, tf.constant([1, 2]), center, scale)
    np.testing.assert_allclose(drawn["mean_actions"][0, 0], [0.6, -4.0], rtol=1e-6)
    actions = drawn["actions"][0].numpy()
    # Standard errors are 1% of the deviation, and 0.7%.
    np.testing.assert_allclose(actions.mean(0), [0.6, -4.0], atol=0.3)
    np.testing.assert_allclose(actions.std(0), [0.05, 6.0], rtol=0.04)


def test_what_fits_is_accepted(agent):
    state = state_of(agent, 2)
    agent["act"](observations=np.zeros([2, 1, 2], np.float32), seed=SEED, **state)
    for step in range(3):
        adapted = agent["adapt"](**played(2), step=np.int32(step), **state)
        assert all(np.isfinite(value).all() for value in adapted.values())


@pytest.mark.parametrize("tasks, others", [(1, 2), (2, 1), (2, 3)])
def test_a_state_of_other_tasks_is_refused(agent, tasks, others):
    state, same = state_of(agent, tasks), state_of(agent, others)
    observations = np.zeros([others, 1, 2], np.float32)
    for name, value in state.items():
        words = f"{name} must be [tasks"
        mixed = same | {name: value}
        assert words in refusal(agent["act"], observations=observations, seed=SEED, **mixed)
        assert words in refusal(agent["adapt"], **played(others), step=np.int32(0), **mixed)


@pytest.mark.parametrize("signature", ["modulate", "adapt"])
def test_episodes_that_do_not_match_are_refused(agent, signature):
    rest = state_of(agent, 2) | {"step": np.int32(0)} if signature == "adapt" else {}
    good = played(2)
    for name in ("actions", "rewards", "mask"):
        value = good[name]
        for wrong in (value[:1], value[:, :1], value[:, :, :1], value[0], value[..., None]):
            message = refusal(agent[signature], **(good | {name: wrong}), **rest)
            assert f"{name} must be [tasks, episodes, H" in message
            assert "with tasks and episodes and H as in observations" in message
    seen = good["observations"]
    for wrong in (seen[0], seen[..., :1], seen[..., None]):
        message = refusal(agent[signature], **(good | {"observations": wrong}), **rest)
        assert "observations must be [tasks, episodes, H, 2]" in message
    for empty in (np.s_[:0], np.s_[:, :0], np.s_[:, :, :0]):
        none = {name: value[empty] for name, value in good.items()}
        message = refusal(agent[signature], **none, **rest)
        assert "observations must be [tasks, episodes, H, 2], such as" in message


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(agent, number):
    state, good = state_of(agent, 2), played(2)
    for name, value in good.items():
        wrong = value.copy()
        wrong[1, 0, 2] = number
        for signature, rest in (("modulate", {}), ("adapt", state | {"step": np.int32(0)})):
            message = refusal(agent[signature], **(good | {name: wrong}), **rest)
            assert f"{name} must be finite" in message
    for name, value in state.items():
        wrong = state | {name: np.full_like(value, number)}
        observations = np.zeros([2, 1, 2], np.float32)
        message = refusal(agent["act"], observations=observations, seed=SEED, **wrong)
        assert f"{name} must be finite" in message
        message = refusal(agent["adapt"], **good, step=np.int32(0), **wrong)
        assert f"{name} must be finite" in message
    observations = np.full([2, 1, 2], number, np.float32)
    for signature, rest in (("explore", {}), ("act", state)):
        message = refusal(agent[signature], observations=observations, seed=SEED, **rest)
        assert "observations must be finite" in message


@pytest.mark.parametrize("signature", ["modulate", "adapt"])
@pytest.mark.parametrize(
    "episode", [[0, 0, 0, 0, 0], [1, 1, 0, 1, 1], [1, 1, 0.5, 0, 0], [2, 1, 0, 0, 0], [-1] * 5]
)
def test_a_mask_that_is_none_is_refused(agent, signature, episode):
    rest = state_of(agent, 2) | {"step": np.int32(0)} if signature == "adapt" else {}
    good = played(2)
    good["rewards"][1, 1] = 0
    good["mask"][1, 1] = episode
    assert "mask must be 1 for every step of an episode" in refusal(
        agent[signature], **good, **rest
    )
    if not any(episode):
        good["mask"][1] = 0
        assert "mask must be 1 for every" in refusal(agent[signature], **good, **rest)


@pytest.mark.parametrize("signature", ["modulate", "adapt"])
def test_rewards_after_the_end_are_refused(agent, signature):
    rest = state_of(agent, 2) | {"step": np.int32(0)} if signature == "adapt" else {}
    good = played(2)
    good["rewards"][1, 0, -1] = 3.5
    message = refusal(agent[signature], **good, **rest)
    assert "rewards must be 0 where mask is" in message and "[3.5]" in message


@pytest.mark.parametrize("step", [-1, 5, 99])
def test_steps_that_the_run_does_not_have_are_refused(agent, step):
    message = refusal(agent["adapt"], **played(2), step=np.int32(step), **state_of(agent, 2))
    assert "step must be 0 to 4 (updates made so far, of eval_steps=5)" in message
    assert f"[{step}]" in message


def test_wrong_shapes_of_the_rest_name_the_argument(agent):
    state, good = state_of(agent, 2), np.zeros([2, 1, 2], np.float32)
    for signature, rest in (("explore", {}), ("act", state)):
        for wrong in (
            np.zeros([2, 1, 3], np.float32),
            np.zeros([2, 2], np.float32),
            good[..., None],
        ):
            message = refusal(agent[signature], observations=wrong, seed=SEED, **rest)
            assert "observations must be [tasks, N, 2]" in message
        for wrong in (SEED[:1], SEED[0], SEED[None]):
            message = refusal(agent[signature], observations=good, seed=wrong, **rest)
            assert "seed must be [2]" in message
    for name, value in state.items():
        for wrong in (value[..., :-1], value[..., None], value[0]):
            message = refusal(agent["act"], observations=good, seed=SEED, **(state | {name: wrong}))
            assert f"{name} must be [tasks, " in message
    message = refusal(agent["adapt"], **played(2), step=np.zeros(1, np.int32), **state)
    assert "step must be []" in message


def test_shapes_are_declared(model):
    declared = model.signatures["adapt"].structured_input_signature[1]
    for name, width in SIZES.items():
        assert declared[name].shape.as_list() == [None, None, None, *width]
    assert declared["step"].shape.as_list() == []
    assert declared["fast_0_kernel"].shape.as_list() == [None, 2, 8]
    declared = model.signatures["act"].structured_input_signature[1]
    assert declared["observations"].shape.as_list() == [None, None, 2]
    assert declared["seed"].shape.as_list() == [2]
