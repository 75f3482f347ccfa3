"""What a run is, as one frozen dataclass, checked once. Free of TensorFlow, so errors come fast.

Field names are flag names; a domain adds its own fields in a subclass.
"""

import dataclasses
import json
import math
from typing import Any, ClassVar, Self

METHODS = ("maml", "multi_maml", "mumomaml")
# What reinforcement learning compares with besides.
BASELINES = ("pretrained", "random", "oracle")
LR_SCHEDULES = ("constant", "cosine")


class ConfigError(ValueError):
    """A setting with a value that is not allowed: one line naming both and what to do."""

    def __init__(self, field: str, value: Any, allowed: str):
        super().__init__(f"--{field}={value}: {allowed}")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Settings of every domain.

    Attributes:
      domain: task distribution, by its registered name.
      method: one of the domain's METHODS.
      modulation: how MuMoMAML modulates, by registered name; None for the other methods.
      seed: of the initial weights and the training tasks.
      iterations: meta-iterations.
      meta_batch_size: tasks per meta-iteration.
      inner_steps: S, gradient steps on a support set, in training and evaluation.
      inner_lr: alpha.
      meta_lr: learning rate of the meta-optimiser.
      lr_schedule: of meta_lr over the run; "cosine" decays it to zero.
      first_order: ignore second derivatives (first-order MAML).
      inner_clip_norm: limit of a task's inner gradient norm; None for none.
      inner_clip_value: limit of each inner gradient element; None for none.
      meta_clip_norm: limit of the meta-gradient norm of theta and omega; None for none.
      jit_compile: compile the meta-step with XLA.
      log_every: iterations per row of metrics.csv.
      checkpoint_every: iterations between checkpoints.
      eval_tasks: fresh tasks that the trained learner is evaluated on.
      eval_seed: of those tasks; the same for every method, so that all meet the same tasks.
    """

    domain: str
    method: str
    modulation: str | None
    seed: int
    iterations: int
    meta_batch_size: int
    inner_steps: int
    inner_lr: float
    meta_lr: float
    lr_schedule: str
    first_order: bool
    inner_clip_norm: float | None
    inner_clip_value: float | None
    meta_clip_norm: float | None
    jit_compile: bool
    log_every: int
    checkpoint_every: int
    eval_tasks: int
    eval_seed: int

    METHODS: ClassVar[tuple[str, ...]] = METHODS
    # What may differ between the starts of a run: nothing that training, or the choice of its best
    # checkpoint, depends on.
    RESUMABLE: ClassVar[tuple[str, ...]] = ("eval_tasks", "eval_seed", "checkpoint_every")
    # What an evaluation or an export may change besides.
    EVALUATION: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        self.require(
            "method",
            self.method in self.METHODS,
            f"--domain={self.domain} knows {', '.join(self.METHODS)}",
        )
        if self.method == "mumomaml":
            self.require("modulation", self.modulation is not None, "mumomaml needs one")
        else:
            self.require(
                "modulation",
                self.modulation is None,
                f"only --method=mumomaml modulates; drop it for --method={self.method}",
            )
        for field in ("iterations", "meta_batch_size", "log_every", "checkpoint_every"):
            self.require_at_least(field, 1)
        self.require_at_least("eval_tasks", 2)
        for field in ("inner_steps", "seed", "eval_seed"):
            self.require_at_least(field, 0)
        for field in ("seed", "eval_seed"):
            self.require(field, getattr(self, field) < 2**31, "must be below 2^31")
        for field in ("inner_lr", "meta_lr"):
            self.require_positive(field)
        for field in ("inner_clip_norm", "inner_clip_value", "meta_clip_norm"):
            if getattr(self, field) == 0:
                object.__setattr__(self, field, None)  # how a flag says "no limit"
            if getattr(self, field) is not None:
                self.require_positive(field)
        self.require(
            "lr_schedule",
            self.lr_schedule in LR_SCHEDULES,
            f"choose from {', '.join(LR_SCHEDULES)}",
        )
        self.require(
            "checkpoint_every",
            self.checkpoint_every % self.log_every == 0,
            f"must be a multiple of --log_every={self.log_every}",
        )

    def require(self, field: str, condition: bool, allowed: str) -> None:
        """Raises ConfigError naming the field unless the condition holds."""
        if not condition:
            raise ConfigError(field, getattr(self, field), allowed)

    def require_at_least(self, field: str, minimum: int) -> None:
        """Raises ConfigError unless the field is `minimum` or more."""
        self.require(field, getattr(self, field) >= minimum, f"must be {minimum} or more")

    def require_positive(self, field: str) -> None:
        """Raises ConfigError unless the field is a finite number above zero."""
        value = getattr(self, field)
        self.require(field, math.isfinite(value) and value > 0, "must be a number above 0")

    @property
    def label(self) -> str:
        """The run as file names and legends say it: `maml`, `mumomaml-film`; a domain may add."""
        return self.method if self.modulation is None else f"{self.method}-{self.modulation}"

    def to_json(self) -> str:
        """All settings, one per line."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        return cls.from_settings(json.loads(text))

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """From what JSON makes of a config."""
        settings = dict(settings)
        for field in dataclasses.fields(cls):
            if isinstance(settings.get(field.name), list):
                settings[field.name] = tuple(settings[field.name])
        return cls(**settings)

    def differences(self, other: Self, also: tuple[str, ...] = ()) -> list[str]:
        """What keeps `other` from continuing this run, as `field: here, there`; empty if nothing.

        More iterations than before continue a run, unless the learning rate schedule was laid
        out over the old number.

        Args:
          other: of the same domain.
          also: fields that may differ besides the resumable ones.
        """
        problems = []
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name, None)
            if field.name in (*self.RESUMABLE, *also) or mine == theirs:
                continue
            if field.name == "iterations" and theirs > mine and self.lr_schedule == "constant":
                continue
            problems.append(f"{field.name} is {mine}, not {theirs}")
        return problems


@dataclasses.dataclass(frozen=True)
class FewShotConfig(RunConfig):
    """Settings of the supervised domains.

    Attributes:
      num_shots: K, support points per task (images per class in classification).
      num_queries: query points of a training task, likewise.
      eval_queries: query points of an evaluation (or validation) task.
    """

    num_shots: int
    num_queries: int
    eval_queries: int

    RESUMABLE: ClassVar[tuple[str, ...]] = (*RunConfig.RESUMABLE, "eval_queries")

    def __post_init__(self):
        super().__post_init__()
        for field in ("num_shots", "num_queries", "eval_queries"):
            self.require_at_least(field, 1)
