"""What the reinforcement-learning domains need to know of a method."""

from collections.abc import Callable
from typing import Any, NamedTuple

from mmaml_tf.rl.policy_learner import PolicyLearner


class PolicyMethod(NamedTuple):
    """How a method's policies are built and served.

    Attributes:
      build: (config, sampler, **settings of every `PolicyLearner`) -> a learner with fresh weights.
      export: (learner, sampler, config, path): saves the learner as a SavedModel.
      observes_goal: whether the goal is part of the observation.
      step: what a policy adapts by between two evaluations.
    """

    build: Callable[..., PolicyLearner]
    export: Callable[..., Any]
    observes_goal: bool = False
    step: str = "gradient step"
