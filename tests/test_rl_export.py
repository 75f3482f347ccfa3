"""The SavedModel adapts on a live environment in a process that knows TensorFlow and Gymnasium."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

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
    for step, alpha in enumerate(domain.config.eval_learning_rates[:2]):
        data = learner.policy_data(rollouts(f"rollouts_{step}"))
        fast = learner.inner_step(fast, tau, data, tf.constant(alpha))
        for layer, weights in enumerate(fast):
            for field, value in weights._asdict().items():
                served = saved[f"adapted_{step}_fast_{layer}_{field}"]
                np.testing.assert_allclose(served, value, rtol=1e-3, atol=1e-4)


def test_wrong_shapes_name_the_argument(tmp_path):
    domain = tiny_domain("maml")
    domain.export(domain.build_learner(), tmp_path / "model")
    model = tf.saved_model.load(str(tmp_path / "model")).signatures
    with pytest.raises(tf.errors.InvalidArgumentError, match="observations must be"):
        model["explore"](observations=tf.zeros([1, 1, 3]), seed=tf.constant([0, 0]))
