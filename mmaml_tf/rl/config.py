"""Settings of the reinforcement-learning domains, with the papers' as defaults."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from mmaml_tf.config import RunConfig

# Evaluation tasks per batch at most, to bound the memory it takes.
EVALUATION_BATCH = 40
# Steps of the longest episodes.
MAX_HORIZON = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class RlConfig(RunConfig):
    """A meta-reinforcement-learning run (methods: `mmaml_tf.rl.methods`).

    Attributes:
      modes: names of the goal distribution's modes.
      reward: which of the environment's; None where it has one.
      rollouts: per task and gradient step; of a method that remembers, trials per task.
      eval_rollouts: the same at evaluation; None for as many as in training.
      later_lr: alpha of the evaluation's steps after the first; None for half of `inner_lr`.
      embedding_trajectories: of the unmodulated policy, per task, from which tau is inferred.
      eval_steps: gradient steps at evaluation; of a method that remembers, the episodes of a trial
        after its first. None for methods that have no steps.
      discount: gamma.
      gae_lambda: lambda of generalised advantage estimation.
      hidden_units: widths of the policy's hidden layers, GRUs of a method that remembers.
      encoder_units: width of the task encoder and of v.
      max_kl: TRPO's limit on the mean divergence of the adapted policies.
      cg_iterations: of conjugate gradients.
      cg_damping: added to the curvature's diagonal.
      support_stride: the curvature's inner second derivatives use every so many-th support step.
      query_stride: the curvature is averaged over every so many-th query step.
      context_size: numbers in a context vector.
      trial_episodes: episodes of a task in a row, in training, that a method remembers.
      animation: also save an animation of the adapted policy.
    """

    modes: tuple[str, ...]
    rollouts: int
    embedding_trajectories: int | None
    eval_steps: int | None
    discount: float
    gae_lambda: float
    hidden_units: tuple[int, ...]
    encoder_units: int | None
    max_kl: float | None
    cg_iterations: int | None
    cg_damping: float | None
    support_stride: int | None
    query_stride: int | None
    reward: str | None = None
    eval_rollouts: int | None = None
    later_lr: float | None = None
    context_size: int | None = None
    trial_episodes: int | None = None
    animation: bool

    KIND = DATA = "rl"
    GROUPS = {
        "inner_loop": ("inner_steps", "inner_lr", "first_order"),
        "steps_in_training": (),
        "eval_steps": ("eval_steps",),
        "modulation": ("modulation", "encoder", "encoder_units", "embedding_trajectories"),
        "learned_rates": ("learned_rates",),
        "context": ("context_size",),
        "trial": ("trial_episodes",),
        "meta_update": ("max_kl", "cg_iterations", "cg_damping", "support_stride", "query_stride"),
    }
    OPTIONAL = {"inner_loop": ("inner_clip_norm", "inner_clip_value", "later_lr")}
    # TRPO finds its steps itself.
    DROPPED = {"meta_lr": 1.0, "lr_schedule": "constant", "meta_clip_norm": None}
    DROPPED |= {"jit_compile": False}
    RESUMABLE = (*RunConfig.RESUMABLE, "animation")
    EVALUATION = (*RunConfig.EVALUATION, "eval_steps", "eval_rollouts", "later_lr")
    EXPORT = ("eval_seed", "eval_steps", "later_lr", "animation")

    def __post_init__(self):
        super().__post_init__()
        self.require_at_least("rollouts", 1)
        if self.eval_steps is not None:
            self.require_steps("eval_steps", 1)
        for field in ("context_size", "trial_episodes", "eval_rollouts"):
            if getattr(self, field) is not None:
                self.require_at_least(field, 1)
        if self.later_lr is not None:
            self.require_positive("later_lr")
        if self.encoder is not None:
            self.require_at_least("encoder_units", 1)
            self.require_at_least("embedding_trajectories", 1)
        if self.max_kl is not None:
            for field in ("cg_iterations", "support_stride", "query_stride"):
                self.require_at_least(field, 1)
            for field in ("max_kl", "cg_damping"):
                self.require_positive(field)
        for field in ("discount", "gae_lambda"):
            self.require(field, 0 <= getattr(self, field) <= 1, "must be between 0 and 1")
        self.require_widths("hidden_units", "100,100")
        self.require("modes", len(self.modes) > 0, "a mixture has one or more")
        self.require_each_mode(self.modes, "meta_batch_size", "eval_tasks")
        if self.has("inner_loop") and not self.has("steps_in_training"):
            self.require(
                "inner_steps", self.inner_steps == 0, f"--method={self.method} trains without"
            )

    def largest_arrays(self) -> dict[tuple[str, ...], int]:
        """Activations of the widest layer over a batch's steps, and the largest kernel."""
        widest = max(self.hidden_units)
        # A trial is for GRUs, which have three gates.
        trial = {"trial_episodes": 3 * self.trial_episodes} if self.trial_episodes else {}
        rollouts = max(self.rollouts, self.eval_rollouts or 0)
        steps = rollouts * math.prod(trial.values()) * MAX_HORIZON
        tasks = max(self.meta_batch_size, min(self.eval_tasks, EVALUATION_BATCH))
        explored = (self.embedding_trajectories or 0) * MAX_HORIZON
        return {
            ("hidden_units",): widest**2,
            ("encoder_units",): (self.encoder_units or 0) ** 2,
            ("meta_batch_size", "rollouts", "eval_rollouts", *trial, "hidden_units"): tasks
            * steps
            * widest,
            ("meta_batch_size", "embedding_trajectories"): tasks * explored,
        }


def paper_settings(
    domain: str, method: str, modes: tuple[str, ...], own: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The papers' settings ([MAML] 5.3 and A.2, [MuMoMAML] 4.3), and what is `own` to the domain.

    Ours: the encoder ([2019 code] has the GRU) and, where they are silent, the damping, the strides
    of the curvature, the 200 evaluation tasks and five numbers of context.
    """
    settings = dict(
        domain=domain,
        method=method,
        modulation="film",
        modes=modes,
        seed=0,
        iterations=500,
        meta_batch_size=40,
        inner_steps=1,
        inner_lr=0.1,
        first_order=False,
        inner_clip_norm=None,
        inner_clip_value=None,
        log_every=1,
        checkpoint_every=10,
        eval_tasks=200,
        eval_seed=1,
        rollouts=20,
        embedding_trajectories=1,
        learned_rates=False,
        context_size=5,
        trial_episodes=2,
        eval_steps=5,
        discount=0.99,
        gae_lambda=1.0,
        hidden_units=(100, 100),
        encoder_units=64,
        encoder="moments",
        max_kl=0.01,
        cg_iterations=10,
        cg_damping=0.01,
        support_stride=10,
        query_stride=10,
        animation=False,
    )
    return RlConfig.published(settings | dict(own or {}))


# What `--preset=quick` changes: a few minutes on two cores.
QUICK = dict(iterations=100, meta_batch_size=20, rollouts=10, eval_tasks=40)
