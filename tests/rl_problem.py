"""Small meta-reinforcement-learning problems that the tests share."""

import gymnasium
import keras
import numpy as np
import tensorflow as tf

from data.goal_distributions import GaussianGoals
from data.reinforcement import DOMAINS
from mmaml_tf.encoders.gru import GRUEncoder
from mmaml_tf.envs.goal_vector_env import GoalVectorEnv
from mmaml_tf.layers.modulation import MODULATIONS
from mmaml_tf.learners import context
from mmaml_tf.learners.inner_loop import InnerLoop
from mmaml_tf.learners.modulator import Modulator
from mmaml_tf.networks.models import gaussian_policy
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.rl.config import RlConfig, paper_settings
from mmaml_tf.rl.domain import RlDomain
from mmaml_tf.rl.learner import MetaPolicy
from mmaml_tf.rl.meta_trpo import no_update
from mmaml_tf.rl.rollouts import Experience, Rollouts
from tests.learners import generic
from tests.runs import as_flags

OBS, ACT, HORIZON = 2, 1, 5
HIDDEN = (4, 3)
TINY = dict(
    iterations=2,
    meta_batch_size=2,
    rollouts=2,
    eval_tasks=4,
    hidden_units=(8, 8),
    encoder_units=4,
    checkpoint_every=1,
    cg_iterations=3,
)


def tiny_flags(method="mumomaml"):
    """A run that trains in seconds."""
    return as_flags(RlConfig, TINY, method)


class Bandit(GoalVectorEnv):
    """Says nothing and pays -|a - g|: all that can be learnt of a task is in its rewards."""

    def __init__(self, num_envs=1, max_episode_steps=HORIZON):
        spaces = (gymnasium.spaces.Box(-1, 1, (1,), np.float64), gymnasium.spaces.Box(-1, 1, (1,)))
        super().__init__(num_envs, max_episode_steps, spaces, (0.0,))

    def _reset_states(self, mask):
        pass

    def _advance(self, actions, live):
        return -np.abs(actions - self.goals)[:, 0], np.zeros(self.num_envs, bool), {}

    def _observe(self):
        return np.ones((self.num_envs, 1))


class Broken(Bandit):
    """Every simulation diverges in its first step."""

    def _advance(self, actions, live):
        self.num_diverged += int(live.sum())
        return np.zeros(self.num_envs), np.ones(self.num_envs, bool), {}


for _name, _class in (("TestBandit-v0", Bandit), ("TestBroken-v0", Broken)):
    gymnasium.register(id=_name, vector_entry_point=_class, max_episode_steps=HORIZON)
BANDIT_GOALS = GaussianGoals(mode_names=("low", "high"), means=((-0.7,), (0.7,)), std=0.1)


def tiny_domain(method="mumomaml", name="navigation_2d", env_id=None, goals=None, **settings):
    """A domain that trains in seconds."""
    own = DOMAINS[name]
    goals = goals or own.goals
    paper = paper_settings(name, method, goals.mode_names)
    config = RlConfig(**RlConfig.for_method(paper | TINY | settings))
    return RlDomain(config, env_id or own.env_id, goals)


def make_learner(
    modulation="film",
    num_steps=1,
    seed=3,
    encoder=GRUEncoder,
    learned_rates=False,
    context_size=0,
    **loop,
):
    """A small learner with generic weights, in Keras's current float type."""
    keras.utils.set_random_seed(seed)
    layer = MODULATIONS[modulation]() if modulation else None
    policy = gaussian_policy(OBS, HIDDEN, ACT, activation="tanh")
    if context_size:
        policy = context.with_context(policy, context_size)
    learner = MetaPolicy(
        TaskNetwork(policy, layer, adapts=[context.NAME] if context_size else None),
        InnerLoop(num_steps, learning_rate=0.3, **loop),
        discount=0.9,
        gae_lambda=0.8,
        draw_tasks=lambda iteration: None,
        meta_update=no_update,
        modulator=Modulator(encoder(3), layer, HIDDEN) if layer else None,
        learned_rates=learned_rates,
    )
    return generic(learner, 0.3, seed)


def make_rollouts(seed=0, num_tasks=3, num_rollouts=2):
    """Generic numbers, and episodes that end after 5, 4, 3, 5, ... steps."""
    rng = np.random.default_rng(seed)
    batch = (num_tasks, num_rollouts)
    lengths = HORIZON - np.arange(num_tasks * num_rollouts).reshape(batch) % 3
    mask = (np.arange(HORIZON) < lengths[..., None]).astype(float)
    arrays = (
        rng.normal(size=(*batch, HORIZON, OBS)),
        rng.normal(size=(*batch, HORIZON, ACT)),
        rng.normal(size=(*batch, HORIZON)) * mask,
        mask,
    )
    return Rollouts(*(tf.constant(array, keras.config.floatx()) for array in arrays))


def make_experience(learner, seed=0):
    """What a meta-update of that learner looks at."""
    data = [
        learner.policy_data(make_rollouts(seed + index))
        for index in range(learner.inner_loop.num_steps + 1)
    ]
    trajectories = make_rollouts(seed + 10, num_rollouts=1) if learner.modulator else None
    return Experience(trajectories, tuple(data[:-1]), data[-1])
