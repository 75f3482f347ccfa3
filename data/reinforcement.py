"""The reinforcement-learning domains: environment, goals, and what the papers set otherwise.

One more in `DOMAINS` is one more `--domain`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data.goal_distributions import GoalDistribution
from data.goals import GOALS

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Reinforcement:
    """A domain.

    Attributes:
        env_id: a registered environment of Gymnasium's whose task `reset(options={"goal": g})`
            sets; stepped by its batched twin if it has one (`mmaml_tf.envs.goal_vector_env`).
        goals: the distribution of g.
        settings: defaults of its flags, where they are not `mmaml_tf.rl.config.paper_settings`.
        by_method: the same for some methods.
        vectorization: of an environment without twin; "async" has a process for each.
    """

    env_id: str
    goals: GoalDistribution
    settings: Settings = field(default_factory=dict)
    by_method: Mapping[str, Settings] = field(default_factory=dict)
    vectorization: str = "sync"

    def settings_of(self, method: str) -> dict[str, Any]:
        """The domain's own settings, as a method has them."""
        return {**self.settings, **self.by_method.get(method, {})}


DOMAINS: dict[str, Reinforcement] = {
    "navigation_2d": Reinforcement(
        "mmaml_tf/Navigation2D-v0", GOALS["navigation_2d"], dict(meta_batch_size=20)
    ),
    "cheetah_location": Reinforcement("mmaml_tf/HalfCheetahLocation-v0", GOALS["cheetah_location"]),
    "cheetah_speed": Reinforcement("mmaml_tf/HalfCheetahSpeed-v0", GOALS["cheetah_speed"]),
}
