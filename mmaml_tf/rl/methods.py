"""The methods of reinforcement learning.

The baselines are trained without gradient steps and fine-tuned at evaluation: `pretrained` is one
policy for all tasks, `oracle` one that observes the goal, `random` is not trained at all.
"""

from typing import NamedTuple

from mmaml_tf.methods import register


class PolicyMethod(NamedTuple):
    """What tells a method's policy from the others.

    Attributes:
      observes_goal: whether the goal is part of the observation.
    """

    observes_goal: bool = False


register("maml", "rl", settings=["inner_steps", "meta_update"])(PolicyMethod())
register("mumomaml", "rl", settings=["inner_steps", "meta_update", "modulation"])(PolicyMethod())
register("pretrained", "rl", settings=["meta_update"])(PolicyMethod())
register("random", "rl")(PolicyMethod())
register("oracle", "rl", settings=["meta_update"])(PolicyMethod(observes_goal=True))
