"""SavedModel of a policy with a memory: loads and runs with TensorFlow alone."""

from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from mmaml_tf.rl.config import RlConfig
from mmaml_tf.rl.export import State, drawn_actions
from mmaml_tf.rl.sampler import Sampler
from mmaml_tf.serving.checked_inputs import Input, signature
from mmaml_tf.serving.saved_model import save

if TYPE_CHECKING:
    from mmaml_tf.rl.rl2 import RL2


def export_recurrent(learner: "RL2", sampler: Sampler, config: RlConfig, path: Path) -> None:
    """Saves the signatures of an agent that meets new tasks:

    initial_state(observation) -> action, reward, done and state, with which `act` is called first
    act(observation, action, reward, done, seed, **state) -> actions (drawn), mean_actions and state

    observation is [tasks, obs]. action [tasks, act], reward [tasks] and done [tasks] are those of
    the step before: the action as it was drawn, before any clipping, in the units of the
    environment; done is 1 at the first step of each episode but a task's first. state passes from
    call to call as it is, through all episodes of a task; its tensors are named state_*. seed is
    [2] int32, and equal seeds draw equal noise. Anything wrong with an argument is an
    `InvalidArgumentError` that names it (`checked_inputs`).

    Args:
      learner: trained.
      sampler: of its environment.
      config: of the run.
      path: folder to write.
    """
    center, scale = sampler.action_center, sampler.action_scale
    network = learner.network
    names = [f"state_{index}" for index, _ in enumerate(network.grus)]

    def initial_state(observation: tf.Tensor) -> State:
        none = tf.zeros_like(observation[:, 0])
        states = network.initial_states(tf.shape(observation)[0])
        start = {"action": none[:, None] + center, "reward": none, "done": none}
        return start | dict(zip(names, states, strict=True))

    def act(
        observation: tf.Tensor,
        action: tf.Tensor,
        reward: tf.Tensor,
        done: tf.Tensor,
        seed: tf.Tensor,
        **state: tf.Tensor,
    ) -> State:
        own = (action - center) / scale
        inputs = tf.concat([observation, own, reward[:, None], done[:, None]], -1)
        outputs, following = network.step(inputs, [state[name] for name in names])
        drawn = drawn_actions(outputs, seed, center, scale)
        return drawn | dict(zip(names, following, strict=True))

    observed = {"observation": Input(("tasks", sampler.observation_size))}
    last = {
        "action": Input(("tasks", sampler.action_size)),
        "reward": Input(("tasks",)),
        "done": Input(("tasks",), below=2, meaning="whether an episode begins"),
        "seed": Input((2,), tf.int32),
    }
    states = {
        name: Input(("tasks", layer.units)) for name, layer in zip(names, network.grus, strict=True)
    }
    signatures = {
        "initial_state": signature(initial_state, observed),
        "act": signature(act, observed | last | states),
    }
    save(learner.trainable_variables, signatures, path)
