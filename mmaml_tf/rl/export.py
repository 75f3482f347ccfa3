"""SavedModel of a policy that adapts: loads and runs with TensorFlow alone."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from mmaml_tf.export import checked
from mmaml_tf.rl.config import RlConfig
from mmaml_tf.rl.learner import MetaPolicy
from mmaml_tf.rl.mlp import BiasVector, MaterialisedWeights
from mmaml_tf.rl.policy import distribution
from mmaml_tf.rl.rollouts import PolicyData, Rollouts
from mmaml_tf.rl.sampler import Sampler

State = dict[str, tf.Tensor]


def export_policy(learner: MetaPolicy, sampler: Sampler, config: RlConfig, path: Path) -> None:
    """Saves the signatures of an agent that meets new tasks:

    explore(observations, seed) -> actions of the unmodulated policy, for the first trajectory
    modulate(observations, actions, rewards, mask) -> state: theta' = theta and tau of every task,
        and task_embedding where there is an encoder
    act(observations, seed, **state) -> actions (drawn) and mean_actions
    adapt(observations, actions, rewards, mask, step, **state) -> state after one gradient step

    `explore` and `act` take observations [tasks, N, obs] and return [tasks, N, act]; seed is [2]
    int32, and equal seeds draw equal noise. `modulate` and `adapt` take whole episodes
    [tasks, episodes, H, ...], with the actions as they were drawn, before any clipping; mask is one
    for an episode's steps and zero, as the rewards, after its end. step counts the updates made so
    far, a scalar int32: the first uses alpha, later ones alpha / 2. Actions are in the units of the
    environment. State passes between the calls as it is; its tensors are named fast_* and tau_*.
    A wrong rank or width is an `InvalidArgumentError` that names the argument.

    Args:
      learner: trained.
      sampler: of its environment.
      config: of the run.
      path: folder to write.
    """
    center, scale = sampler.action_center, sampler.action_scale
    obs, act = sampler.observation_size, sampler.action_size

    def draw(outputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        policy = distribution(outputs)
        noise = tf.random.stateless_normal(tf.shape(policy.mean()), seed)
        actions = policy.mean() + policy.stddev() * noise
        return {
            "actions": center + scale * actions,
            "mean_actions": center + scale * policy.mean(),
        }

    def played(
        observations: tf.Tensor, actions: tf.Tensor, rewards: tf.Tensor, mask: tf.Tensor
    ) -> Rollouts:
        episodes: list[str | int] = ["tasks", "episodes", "H"]
        return Rollouts(
            checked("observations", observations, [*episodes, obs]),
            (checked("actions", actions, [*episodes, act]) - center) / scale,
            tf.ensure_shape(rewards, [None, None, None]),
            tf.ensure_shape(mask, [None, None, None]),
        )

    def explore(observations: tf.Tensor, seed: tf.Tensor) -> State:
        observations = checked("observations", observations, ["tasks", "N", obs])
        return draw(learner.outputs(observations, learner.network.prior(), None), seed)

    def modulate(
        observations: tf.Tensor, actions: tf.Tensor, rewards: tf.Tensor, mask: tf.Tensor
    ) -> State:
        trajectories = played(observations, actions, rewards, mask)
        num_tasks = tf.shape(trajectories.rewards)[0]
        tau, embedding = learner.modulate(trajectories)
        fast = tf.nest.map_structure(
            lambda slow: tf.repeat(slow, num_tasks, 0), learner.network.prior()
        )
        state = _named(fast, tau)
        if embedding is not None:
            state["task_embedding"] = embedding
        return state

    def act_(observations: tf.Tensor, seed: tf.Tensor, **state: tf.Tensor) -> State:
        observations = checked("observations", observations, ["tasks", "N", obs])
        return draw(learner.outputs(observations, *_unnamed(state)), seed)

    def adapt(
        observations: tf.Tensor,
        actions: tf.Tensor,
        rewards: tf.Tensor,
        mask: tf.Tensor,
        step: tf.Tensor,
        **state: tf.Tensor,
    ) -> State:
        rollouts = played(observations, actions, rewards, mask)
        data = PolicyData.from_rollouts(rollouts, config.discount, config.gae_lambda)
        fast, tau = _unnamed(state)
        alpha = config.inner_lr * tf.where(step == 0, 1.0, 0.5)
        return _named(learner.inner_step(fast, tau, data, alpha), tau)

    # Shapes are left open and checked in the graph: a mismatch with a declared shape would
    # surface as an error deep inside, naming none of the arguments.
    episode = {
        name: tf.TensorSpec(None, tf.float32, name)
        for name in ("observations", "actions", "rewards", "mask")
    }
    observations, seed = episode["observations"], tf.TensorSpec([2], tf.int32, "seed")
    step = tf.TensorSpec([], tf.int32, "step")
    example = tf.function(modulate).get_concrete_function(**episode).structured_outputs
    state = {
        name: tf.TensorSpec([None, *value.shape[1:]], tf.float32, name)
        for name, value in example.items()
        if name != "task_embedding"
    }
    module = tf.Module()
    module.learner_variables = [variable.value for variable in learner.trainable_variables]
    signatures: dict[str, Any] = {
        "explore": tf.function(explore).get_concrete_function(observations, seed),
        "modulate": tf.function(modulate).get_concrete_function(**episode),
        "act": tf.function(act_).get_concrete_function(observations, seed, **state),
        "adapt": tf.function(adapt).get_concrete_function(**episode, step=step, **state),
    }
    tf.saved_model.save(module, str(path), signatures=signatures)


def _named(fast: list[Any], tau: list[tf.Tensor] | None) -> State:
    """Fast weights and tau as one flat dict; the order of layers is in the names."""
    state = {}
    for index, weights in enumerate(fast):
        for field, value in weights._asdict().items():
            state[f"fast_{index}_{field}"] = value
    for index, value in enumerate(tau or ()):
        state[f"tau_{index}"] = value
    return state


def _unnamed(state: State) -> tuple[list[Any], list[tf.Tensor] | None]:
    """The inverse of `_named`."""
    fast: list[Any] = []
    while f"fast_{len(fast)}_kernel" in state:
        name = f"fast_{len(fast)}"
        fast.append(MaterialisedWeights(state[f"{name}_kernel"], state[f"{name}_bias"]))
    fast.append(BiasVector(state[f"fast_{len(fast)}_vector"]))
    tau: list[tf.Tensor] = []
    while f"tau_{len(tau)}" in state:
        tau.append(state[f"tau_{len(tau)}"])
    return fast, tau or None
