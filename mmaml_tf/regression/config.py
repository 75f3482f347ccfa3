"""Settings of the regression domains, with the paper's as defaults."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from mmaml_tf.few_shot.config import DEFAULTS, FewShotConfig
from mmaml_tf.learners.options import FAST_WEIGHTS

# Evaluation tasks per call at most, to bound the memory it takes.
EVALUATION_BATCH = 600


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressionConfig(FewShotConfig):
    """A regression run.

    Attributes:
      modes: the mixture's mode names.
      noise_stddev: of the Gaussian noise on every y.
      hidden_units: widths of the base network's hidden layers.
      bias_transformation_size: learned vector appended to the input; 0 for none.
      encoder_units: LSTM cells per direction, or width, of the task encoder.
      fast_weights: "auto" factors a layer's fast weights where that is cheaper.
      encoder: task encoder, by registered name: "lstm" as published, or another.
    """

    modes: tuple[str, ...]
    noise_stddev: float
    hidden_units: tuple[int, ...]
    bias_transformation_size: int
    encoder_units: int | None
    fast_weights: str | None
    encoder: str | None = "lstm"

    KIND = DATA = "regression"
    GROUPS = FewShotConfig.GROUPS | {
        "inner_loop": ("inner_steps", "inner_lr", "fast_weights"),
        "modulation": ("modulation", "head_initializer", "encoder", "encoder_units"),
    }

    @property
    def mode_names(self) -> tuple[str, ...]:
        """See `FewShotConfig`."""
        return self.modes

    def __post_init__(self):
        super().__post_init__()
        if self.encoder is not None:
            self.require_at_least("encoder_units", 1)
        self.require_at_least("bias_transformation_size", 0)
        self.require("noise_stddev", 0 <= self.noise_stddev < 1e6, "must be 0 or more, below 1e6")
        self.require_widths("hidden_units", "100,100,100")
        if self.fast_weights is not None:
            self.require_one_of("fast_weights", FAST_WEIGHTS)
        self.require("modes", len(self.modes) > 0, "a mixture has one or more")
        self.require_each_mode(self.modes, "meta_batch_size", "eval_tasks")

    def largest_arrays(self) -> dict[tuple[str, ...], int]:
        """Activations, which the meta-gradient keeps of every step, and the largest kernel."""
        widths = (1 + self.bias_transformation_size, *self.hidden_units, 1)
        points = self.num_shots * (self.inner_steps or 1) + self.num_queries
        evaluated = min(self.eval_tasks, EVALUATION_BATCH)
        evaluated *= self.shots_at_evaluation + self.eval_queries
        width = ("hidden_units", "bias_transformation_size")
        return super().largest_arrays() | {
            width: max(a * b for a, b in itertools.pairwise(widths)),
            ("encoder_units",): 8 * (self.encoder_units or 0) ** 2,
            ("meta_batch_size", "num_shots", "num_queries", *width): self.meta_batch_size
            * points
            * sum(widths),
            ("eval_shots", "num_shots", "eval_queries", *width): evaluated * max(widths),
        }


def paper_settings(
    domain: str, method: str, modes: tuple[str, ...], own: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The paper's settings ([MuMoMAML] 4.1, [2019 code]), and what is `own` to the domain.

    MAML's inner gradients have no limit, as in the follow-up's code; others say theirs
    themselves.
    """
    settings: dict[str, Any] = dict(
        domain=domain,
        method=method,
        modes=modes,
        iterations=70_000,
        meta_batch_size=25 * len(modes),
        inner_steps=5,
        inner_lr=0.001,
        **DEFAULTS,
        context_size=5,
        meta_clip_norm=2.0,
        log_every=200,
        checkpoint_every=2_000,
        eval_tasks=90_000,
        num_shots=5,
        num_queries=5,
        eval_queries=5,
        noise_stddev=0.3,
        hidden_units=(100, 100, 100),
        bias_transformation_size=20,
        head_initializer="glorot_uniform",
        encoder="lstm",
        encoder_units=40,
        fast_weights="auto",
    )
    settings = RegressionConfig.published(settings | dict(own or {}))
    if settings["modulation"] is not None or settings["context_size"] is not None:
        settings |= dict(bias_transformation_size=0)
    return settings


# What `--preset=quick` changes: a few minutes on two cores.
QUICK = dict(iterations=10_000, checkpoint_every=1_000, eval_tasks=6_000)
