"""SavedModel of a policy that adapts: loads and runs with TensorFlow alone."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast
from mmaml_tf.layers.modulation import Tau
from mmaml_tf.rl.config import RlConfig
from mmaml_tf.rl.learner import MetaPolicy
from mmaml_tf.rl.policy import distribution
from mmaml_tf.rl.rollouts import Rollouts
from mmaml_tf.rl.sampler import Sampler
from mmaml_tf.serving.checked_inputs import Input, assert_none, signature
from mmaml_tf.serving.saved_model import save

State = dict[str, tf.Tensor]
Bounds = npt.NDArray[np.floating]
MASK = "mask must be 1 for every step of an episode, one step or more, and 0 after its end"
REWARDS = "rewards must be 0 where mask is"


def drawn_actions(outputs: tf.Tensor, seed: tf.Tensor, center: Bounds, scale: Bounds) -> State:
    """Actions and mean actions, in the environment's units: center + scale * the policy's."""
    policy = distribution(outputs)
    noise = tf.random.stateless_normal(tf.shape(policy.mean()), seed)
    actions = policy.mean() + policy.stddev() * noise
    return {"actions": center + scale * actions, "mean_actions": center + scale * policy.mean()}


def export_policy(learner: MetaPolicy, sampler: Sampler, config: RlConfig, path: Path) -> None:
    """Saves the signatures of an agent that meets new tasks:

    explore(observations, seed) -> actions of the unmodulated policy, for the first trajectory
    modulate(observations, actions, rewards, mask) -> state: theta' = theta and tau of every task,
        and task_embedding where there is an encoder
    act(observations, seed, **state) -> actions (drawn) and mean_actions
    adapt(observations, actions, rewards, mask, step, **state) -> state after one gradient step;
        not there where the method takes none

    `explore` and `act` take observations [tasks, N, obs] and return [tasks, N, act]; seed is [2]
    int32, and equal seeds draw equal noise. `modulate` and `adapt` take whole episodes
    [tasks, episodes, H, ...], with the actions as they were drawn, before any clipping; mask is one
    for an episode's steps (one or more) and zero, as the rewards, after its end. step counts the
    updates made so far, a scalar int32 below the run's eval_steps: the first uses alpha, later ones
    the run's later_lr, or alpha / 2. Actions are in the units of the environment. State passes
    between the calls as it is; its tensors are named fast_* and tau_*. Anything wrong with an
    argument is an `InvalidArgumentError` that names it (`checked_inputs`).

    Args:
      learner: trained.
      sampler: of its environment.
      config: of the run.
      path: folder to write.
    """
    center, scale = sampler.action_center, sampler.action_scale
    obs, act = sampler.observation_size, sampler.action_size
    layers, num_steps = learner.network.plan.layers, config.eval_steps or 0
    heads = learner.modulator.heads if learner.modulator else []
    names = [
        f"fast_{index}_{variable.name}"
        for index, layer in enumerate(layers)
        for variable in layer.trainable_variables
    ]
    names += [f"tau_{index}" for index, _ in enumerate(heads)]
    like = (learner.network.prior(), heads)  # one tau for each head

    def named(fast: Fast, tau: Tau) -> State:
        return dict(zip(names, tf.nest.flatten((fast, tau or [])), strict=True))

    def unnamed(state: State) -> tuple[Fast, Tau]:
        fast, tau = tf.nest.pack_sequence_as(like, [state[name] for name in names])
        return fast, tau or None

    def draw(outputs: tf.Tensor, seed: tf.Tensor) -> State:
        return drawn_actions(outputs, seed, center, scale)

    def played(
        observations: tf.Tensor, actions: tf.Tensor, rewards: tf.Tensor, mask: tf.Tensor
    ) -> Rollouts:
        is_binary = tf.reduce_all((mask == 0) | (mask == 1), -1)
        is_prefix = (mask[..., 0] == 1) & tf.reduce_all(mask[..., 1:] <= mask[..., :-1], -1)
        wrong = tf.boolean_mask(mask, ~(is_binary & is_prefix))
        with tf.control_dependencies([assert_none(wrong, MASK)]):
            mask = tf.identity(mask)
        wrong = tf.boolean_mask(rewards, (mask == 0) & (rewards != 0))
        with tf.control_dependencies([assert_none(wrong, REWARDS)]):
            rewards = tf.identity(rewards)
        return Rollouts(observations, (actions - center) / scale, rewards, mask)

    def explore(observations: tf.Tensor, seed: tf.Tensor) -> State:
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
        state = named(fast, tau)
        if embedding is not None:
            state["task_embedding"] = embedding
        return state

    def act_(observations: tf.Tensor, seed: tf.Tensor, **state: tf.Tensor) -> State:
        return draw(learner.outputs(observations, *unnamed(state)), seed)

    def adapt(
        observations: tf.Tensor,
        actions: tf.Tensor,
        rewards: tf.Tensor,
        mask: tf.Tensor,
        step: tf.Tensor,
        **state: tf.Tensor,
    ) -> State:
        rollouts = played(observations, actions, rewards, mask)
        data = learner.policy_data(rollouts)
        fast, tau = unnamed(state)
        alpha = tf.gather(learner.evaluation_rates(num_steps), step)
        return named(learner.inner_step(fast, tau, data, alpha), tau)

    seen = {"observations": Input((obs,)).batched("tasks", "N"), "seed": Input((2,), tf.int32)}
    widths = {"observations": (obs,), "actions": (act,), "rewards": (), "mask": ()}
    episodes = {
        name: Input(width).batched("tasks", "episodes", "H") for name, width in widths.items()
    }
    made = f"updates made so far, of eval_steps={num_steps}"
    step = {"step": Input((), tf.int32, num_steps, made)}
    modulated = signature(modulate, episodes)
    state = {
        name: Input(("tasks", *value.shape[1:]))
        for name, value in modulated.structured_outputs.items()
        if name != "task_embedding"
    }
    signatures = {
        "explore": signature(explore, seen),
        "modulate": modulated,
        "act": signature(act_, seen | state),
    }
    if num_steps > 0:
        signatures["adapt"] = signature(adapt, episodes | step | state)
    save(learner.trainable_variables, signatures, path)
