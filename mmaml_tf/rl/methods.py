"""The methods of reinforcement learning whose policies take gradient steps or are modulated.

The baselines `pretrained`, one policy for all tasks, and `random`, which is not trained at all, are
fine-tuned at evaluation. `oracle` observes the goal and takes no steps. Nor does `modulation`: tau
from one exploration is all that adapts.

`meta_sgd` learns a rate per weight, log sigma's included ([Meta-SGD]). In `context` the steps
change a vector that is appended to the observation ([MAML] C.2), and nothing else: log sigma is
theta there, the same in every task.
"""

import functools
from typing import Any

from mmaml_tf import encoders
from mmaml_tf.layers.modulation import modulation_named
from mmaml_tf.learners import context
from mmaml_tf.learners.inner_loop import InnerLoop
from mmaml_tf.learners.modulator import Modulator
from mmaml_tf.methods import register
from mmaml_tf.networks.models import gaussian_policy
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.rl.config import RlConfig
from mmaml_tf.rl.export import export_policy
from mmaml_tf.rl.learner import MetaPolicy
from mmaml_tf.rl.policy_method import PolicyMethod
from mmaml_tf.rl.sampler import Sampler


def meta_policy(config: RlConfig, sampler: Sampler, **settings: Any) -> MetaPolicy:
    """A `MetaPolicy` as a run's settings say.

    Args:
      config: of the run.
      sampler: of its environment.
      **settings: see `MetaPolicy`.
    """
    modulator = modulation = adapts = None
    policy = gaussian_policy(sampler.observation_size, config.hidden_units, sampler.action_size)
    if config.has("modulation"):
        chosen = config.group("modulation")
        modulation = modulation_named(chosen["modulation"])
        encoder = encoders.of(config.KIND)[chosen["encoder"]](chosen["encoder_units"])
        modulator = Modulator(encoder, modulation, config.hidden_units)
    if config.context_size is not None:
        policy = context.with_context(policy, config.context_size)
        adapts = [context.NAME]
    network = TaskNetwork(policy, modulation, adapts=adapts)
    settings = dict(learned_rates=bool(config.learned_rates)) | settings
    settings |= dict(later_lr=config.later_lr)
    return MetaPolicy(network, inner_loop(config), modulator, **settings)


def inner_loop(config: RlConfig) -> InnerLoop:
    """The steps of training; none where the method takes none."""
    if config.inner_steps is None:
        return InnerLoop(num_steps=0, learning_rate=0.0)
    assert config.inner_lr is not None and config.first_order is not None
    return InnerLoop(
        config.inner_steps,
        config.inner_lr,
        config.first_order,
        config.inner_clip_norm,
        config.inner_clip_value,
    )


PLAIN = PolicyMethod(meta_policy, export_policy)
LEARNED_RATES = PLAIN._replace(build=functools.partial(meta_policy, learned_rates=True))
# Those whose training takes the steps that their evaluation takes.
ADAPTED = ("inner_loop", "steps_in_training", "eval_steps", "meta_update")
FINE_TUNED = ("inner_loop", "eval_steps")
WITHOUT_STEPS = {"rl": dict(inner_steps=0)}

register("maml", "rl", settings=ADAPTED)(PLAIN)
register("mumomaml", "rl", settings=[*ADAPTED, "learned_rates", "modulation"])(PLAIN)
register("pretrained", "rl", settings=[*FINE_TUNED, "meta_update"], published=WITHOUT_STEPS)(PLAIN)
register("oracle", "rl", settings=["meta_update"])(PLAIN._replace(observes_goal=True))
register("random", "rl", settings=FINE_TUNED, published=WITHOUT_STEPS, is_trained=False)(PLAIN)
register("modulation", "rl", settings=["meta_update", "modulation"])(PLAIN)
register("meta_sgd", "rl", settings=ADAPTED)(LEARNED_RATES)
register("context", "rl", settings=[*ADAPTED, "context"])(PLAIN)
