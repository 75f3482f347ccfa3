"""Flags of the reinforcement-learning domains."""

from collections.abc import Callable, Sequence
from typing import Any

from absl import flags as absl_flags

from flags import common
from mmaml_tf.config import ConfigError
from mmaml_tf.rl.config import QUICK, RlConfig, paper_settings

common.settings(
    absl_flags.DEFINE_string("reward", None, "In navigation: distance (its negative), or squared."),
    absl_flags.DEFINE_integer(
        "rollouts", None, "Episodes per task and gradient step; trials per task (rl2)."
    ),
    absl_flags.DEFINE_float(
        "later_lr",
        None,
        "Inner learning rate of the evaluation's later steps; half of the first's.",
    ),
    absl_flags.DEFINE_integer("eval_rollouts", None, "Episodes or trials at evaluation, likewise."),
    absl_flags.DEFINE_integer(
        "trial_episodes", None, "Episodes of a task in a row that rl2 remembers, in training."
    ),
    absl_flags.DEFINE_integer(
        "embedding_trajectories", None, "Episodes per task that a task is inferred from."
    ),
    absl_flags.DEFINE_float("discount", None, "Gamma."),
    absl_flags.DEFINE_float("gae_lambda", None, "Lambda of generalised advantage estimation."),
    absl_flags.DEFINE_float("max_kl", None, "TRPO's limit on the adapted policies' divergence."),
    absl_flags.DEFINE_integer("cg_iterations", None, "Conjugate gradient iterations."),
    absl_flags.DEFINE_float("cg_damping", None, "Added to the curvature's diagonal."),
    absl_flags.DEFINE_integer(
        "support_stride", None, "Curvature: every so many-th support step; 1 for all."
    ),
    absl_flags.DEFINE_integer(
        "query_stride", None, "Curvature: every so many-th query step; 1 for all."
    ),
    absl_flags.DEFINE_bool("animation", None, "Also save figures/policy.gif."),
)


def config(
    modes: tuple[str, ...],
    rewards: Sequence[str | None],
    own: Callable[[str], dict[str, Any]],
    domain: str,
    method: str,
    preset: str,
) -> RlConfig:
    """The run that the command line asks for.

    The first of the rewards is the domain's own; `own` has its settings for a method.

    Raises:
      ConfigError: naming the flag, its value and what is allowed.
    """
    settings = paper_settings(domain, method, modes, own(method)) | dict(reward=rewards[0])
    if preset == "quick":
        settings = RlConfig.changed(settings, QUICK)
    settings |= common.given(RlConfig, method)
    if settings["reward"] not in rewards:
        known = ", ".join(reward for reward in rewards if reward) or "one reward"
        raise ConfigError("reward", settings["reward"], f"--domain={domain} has {known}")
    return RlConfig.of_settings(settings)
