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
        reward: name of what the environment pays, where --reward offers another.
        other_rewards: by name, the environments that pay otherwise.
    """

    env_id: str
    goals: GoalDistribution
    settings: Settings = field(default_factory=dict)
    by_method: Mapping[str, Settings] = field(default_factory=dict)
    vectorization: str = "sync"
    reward: str | None = None
    other_rewards: Mapping[str | None, str] = field(default_factory=dict)

    @property
    def environments(self) -> dict[str | None, str]:
        """By reward, the domain's own first."""
        return {self.reward: self.env_id, **self.other_rewards}

    def settings_of(self, method: str) -> dict[str, Any]:
        """The domain's own settings, as a method has them."""
        return {**self.settings, **self.by_method.get(method, {})}


DISTANCE, SQUARED = "mmaml_tf/Navigation2D-v0", "mmaml_tf/Navigation2DSquared-v0"
PUBLISHED = dict(cg_damping=1e-5)  # in all of [MAML]'s
# Of the robots' curvature no step is left out: half-cheetah's training return after the update, in
# direction, reached 113 with every tenth (iteration 48 of 100), 149 with all (92; one run each).
WHOLE = dict(support_stride=1, query_stride=1) | PUBLISHED
FINE_TUNED = {"pretrained": dict(inner_lr=0.2), "random": dict(inner_lr=1.0)}
DOMAINS: dict[str, Reinforcement] = {
    "navigation_2d": Reinforcement(
        DISTANCE,
        GOALS["navigation_2d"],
        # The rate of [MAML]'s navigation. [MuMoMAML] says none; its return after modulation was
        # -23.2 with this one, and -32.1 with 0.1.
        dict(meta_batch_size=20, inner_lr=0.5),
        # Which throws a policy that was trained without steps, and has little noise left, far off.
        dict.fromkeys(("pretrained", "random"), dict(inner_lr=0.1)),
        reward="distance",
        other_rewards={"squared": SQUARED},
    ),
    "navigation_2d_wide": Reinforcement(
        SQUARED,
        GOALS["navigation_2d_wide"],
        dict(meta_batch_size=20),
        reward="squared",
        other_rewards={"distance": DISTANCE},
    ),
    "cheetah_location": Reinforcement("mmaml_tf/HalfCheetahLocation-v0", GOALS["cheetah_location"]),
    "cheetah_speed": Reinforcement("mmaml_tf/HalfCheetahSpeed-v0", GOALS["cheetah_speed"]),
    # [MAML] 5.3, as its code and released runs have it. "inner_lr" of the methods that are trained
    # without steps is that of their fine-tuning.
    "maml_navigation": Reinforcement(
        DISTANCE,
        GOALS["maml_navigation"],
        dict(meta_batch_size=20, inner_lr=0.5, eval_rollouts=40, iterations=100) | PUBLISHED,
        reward="distance",
        other_rewards={"squared": SQUARED},
    ),
    "maml_cheetah_velocity": Reinforcement(
        "mmaml_tf/HalfCheetahVelocity-v0",
        GOALS["maml_cheetah_velocity"],
        WHOLE,
        by_method={"pretrained": dict(inner_lr=0.02)},
    ),
    "maml_cheetah_direction": Reinforcement(
        "mmaml_tf/HalfCheetahDirection-v0",
        GOALS["maml_cheetah_direction"],
        dict(max_kl=0.02, iterations=100) | WHOLE,  # when the authors' released policy was saved
        FINE_TUNED,
    ),
    "maml_ant_velocity": Reinforcement(
        "mmaml_tf/AntVelocity-v0", GOALS["maml_ant_velocity"], WHOLE, FINE_TUNED
    ),
    "maml_ant_direction": Reinforcement(
        "mmaml_tf/AntDirection-v0",
        GOALS["maml_ant_direction"],
        dict(rollouts=40, later_lr=0.001) | WHOLE,
        FINE_TUNED,
    ),
}
