"""What a run is, as one frozen dataclass, checked once.

Field names are flag names; a domain adds its own fields in a subclass. TensorFlow is imported only
when one is made, for the methods that its method is looked up among.
"""

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from mmaml_tf import encoders, methods


class ConfigError(ValueError):
    """A setting with a value that is not allowed: one line naming both and what to do."""

    def __init__(self, field: str, value: Any, allowed: str):
        super().__init__(f"--{field}={shown(value)}: {allowed}")


def shown(value: Any) -> str:
    """A setting's value as a flag says it: (8, 8) is 8,8."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


# Whole numbers beyond it are no 32-bit integers, which shapes and seeds are.
LIMIT = 2**31
# The numbers that float32, in which all is computed, holds without loss of digits.
SMALLEST, LARGEST = 2.0**-126, 2.0**127
# Of a method that is not trained: its one iteration changes nothing.
UNTRAINED = dict(iterations=1, log_every=1, checkpoint_every=1)
# Inner steps stand one by one in the graph.
MAX_STEPS = 1_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of every domain.

    Attributes:
      domain: task distribution, by its registered name.
      method: by its registered name.
      modulation: how a method that modulates does, by registered name; None for the others.
      seed: of the initial weights and the training tasks.
      iterations: meta-iterations.
      meta_batch_size: tasks per meta-iteration.
      inner_steps: S, gradient steps on a support set, in training and, where no `eval_steps` says
        otherwise, in evaluation; None for methods that take none.
      inner_lr: alpha; None likewise.
      first_order: ignore second derivatives (first-order MAML); None for methods that have none.
      inner_clip_norm: limit of a task's inner gradient norm; None for none.
      inner_clip_value: limit of each inner gradient element; None for none.
      log_every: iterations per row of metrics.csv.
      checkpoint_every: iterations between checkpoints.
      eval_tasks: fresh tasks that the trained learner is evaluated on.
      eval_seed: of those tasks; the same for every method, so that all meet the same tasks.
      learned_rates: meta-learn a rate per weight; None for methods that have no such choice.
      encoder: task encoder, by registered name; None for methods without.
    """

    domain: str
    method: str
    modulation: str | None
    seed: int
    iterations: int
    meta_batch_size: int
    inner_steps: int | None
    inner_lr: float | None
    first_order: bool | None
    inner_clip_norm: float | None
    inner_clip_value: float | None
    log_every: int
    checkpoint_every: int
    eval_tasks: int
    eval_seed: int
    learned_rates: bool | None = False
    encoder: str | None = None

    # A config.json with other keys is of another version: refused (pydantic reads this).
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    # Of the domain, as methods know it (`methods.register`).
    KIND: ClassVar[str] = ""
    # By what name methods say which of the settings are their own for it.
    DATA: ClassVar[str] = ""
    # Settings that not every method has, by the group that a method names.
    GROUPS: ClassVar[dict[str, tuple[str, ...]]] = {"modulation": ("modulation", "encoder")}
    # Those of a group whose value None says "none", so that a method with the group may have it.
    OPTIONAL: ClassVar[dict[str, tuple[str, ...]]] = {}
    # Settings of earlier versions, with the only value that they had.
    DROPPED: ClassVar[dict[str, Any]] = {}
    # Settings that earlier versions had not, with what they did.
    ADDED: ClassVar[dict[str, Any]] = {}
    # How long and with what a method trains: refused for one that is not trained.
    TRAINING: ClassVar[tuple[str, ...]] = ("meta_batch_size", *UNTRAINED)
    # What an evaluation may change.
    EVALUATION: ClassVar[tuple[str, ...]] = ("eval_tasks", "eval_seed")
    # What an export may change.
    EXPORT: ClassVar[tuple[str, ...]] = ()
    # What the validation depends on as well as an evaluation: no start of a run may change it.
    VALIDATION: ClassVar[tuple[str, ...]] = ()
    # What a start of a run may change besides: training does not depend on it.
    RESUMABLE: ClassVar[tuple[str, ...]] = ("checkpoint_every",)

    def __post_init__(self):
        self._require_numbers()
        known = methods.of(self.KIND)
        self.require(
            "method", self.method in known, f"--domain={self.domain} knows {', '.join(known)}"
        )
        for group in self.GROUPS:
            owners = [name for name, method in known.items() if group in method.settings]
            for field in self._fields_of(group):
                value, optional = getattr(self, field), field in self.OPTIONAL.get(group, ())
                if self.method in owners:
                    self.require(field, optional or value is not None, f"{self.method} needs it")
                else:
                    self.require(
                        field,
                        value is None,
                        f"a setting of --method={' or '.join(owners)}; drop it for "
                        f"--method={self.method}",
                    )
        if self.modulation is not None:
            from mmaml_tf.layers.modulation import MODULATIONS  # which needs TensorFlow

            self.require_one_of("modulation", list(MODULATIONS))
        if self.encoder is not None:
            self.require_one_of("encoder", list(encoders.of(self.KIND)))
        for field in ("iterations", "meta_batch_size", "log_every", "checkpoint_every"):
            self.require_at_least(field, 1)
        self.require_at_least("eval_tasks", 2)
        for field in ("seed", "eval_seed"):
            self.require_at_least(field, 0)
        if self.inner_lr is not None:
            self.require_steps("inner_steps", 0)
            self.require_positive("inner_lr")
        self.require_limits("inner_clip_norm", "inner_clip_value")
        self.require(
            "checkpoint_every",
            self.checkpoint_every % self.log_every == 0,
            f"must be a multiple of --log_every={self.log_every}",
        )

    def has(self, group: str) -> bool:
        """Whether the run's method has a group of settings."""
        return group in methods.of(self.KIND)[self.method].settings

    def group(self, name: str) -> dict[str, Any]:
        """The settings of a group, by name."""
        return {field: getattr(self, field) for field in self._fields_of(name)}

    @classmethod
    def _fields_of(cls, group: str) -> tuple[str, ...]:
        return (*cls.GROUPS[group], *cls.OPTIONAL.get(group, ()))

    @classmethod
    def published(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """A domain's settings as its method has them: with its own, and without those of others.

        Raises:
          ConfigError: if the domain does not know the method.
        """
        cls.for_method(settings)  # which knows the method, or raises
        method = methods.of(cls.KIND)[settings["method"]]
        return cls.for_method(cls.changed(settings, method.published_for(cls.DATA, settings)))

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Self:
        """A run with these settings.

        Raises:
          ConfigError: for a setting that such runs do not have.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; {near[0]}?" if near else ""
                raise ConfigError(name, settings[name], f"not a setting of {cls.DATA} runs{hint}")
        return cls(**settings)

    @classmethod
    def changed(cls, settings: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with changes, but not of how long a method trains that does not."""
        is_trained = methods.of(cls.KIND)[settings["method"]].is_trained
        return {**settings, **changes, **({} if is_trained else UNTRAINED)}

    @classmethod
    def for_method(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings without those that their method does not have: None stands for them.

        Raises:
          ConfigError: if the domain does not know the method.
        """
        known = methods.of(cls.KIND)
        name = settings["method"]
        if name not in known:
            allowed = f"--domain={settings['domain']} knows {', '.join(known)}"
            raise ConfigError("method", name, allowed)
        absent = [
            field
            for group in cls.GROUPS
            for field in cls._fields_of(group)
            if group not in known[name].settings
        ]
        return settings | dict.fromkeys(absent)

    @classmethod
    def upgraded(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """What config.json holds, where an earlier version wrote it."""
        gone = {name for name, value in cls.DROPPED.items() if settings.get(name) == value}
        kept = {name: value for name, value in settings.items() if name not in gone}
        kept = {**cls.ADDED, **kept}
        is_named = "domain" in kept and isinstance(kept.get("method"), str)
        return cls.for_method(kept) if is_named else kept

    def require(self, field: str, condition: bool, allowed: str) -> None:
        """Raises ConfigError naming the field unless the condition holds."""
        if not condition:
            raise ConfigError(field, getattr(self, field), allowed)

    def _require_numbers(self) -> None:
        """Raises ConfigError for a number that TensorFlow can't hold."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int):
                    self.require(field.name, abs(number) < LIMIT, "must be below 2^31")
                elif isinstance(number, float) and number != 0:
                    self.require(
                        field.name,
                        SMALLEST <= abs(number) <= LARGEST,
                        "is no number that float32 holds (about 1e-38 to 1e38)",
                    )

    def require_at_least(self, field: str, minimum: int) -> None:
        """Raises ConfigError unless the field is `minimum` or more."""
        self.require(field, getattr(self, field) >= minimum, f"must be {minimum} or more")

    def require_each_mode(self, modes: Sequence[str], *fields: str) -> None:
        """Raises ConfigError unless the fields are as many tasks of each mode, and an evaluation
        has two at least: intervals are given per mode, and one task has none. Modes have names of
        their own."""
        is_named = tuple(modes) == ("all",) or len({*modes, "all"}) > len(modes)
        self.require("modes", is_named, 'each needs a name of its own, and none is "all"')
        for field in fields:
            self.require(
                field,
                getattr(self, field) % len(modes) == 0,
                f"must be a multiple of the {len(modes)} modes ({', '.join(modes)})",
            )
        self.require_at_least("eval_tasks", 2 * len(modes))

    def require_steps(self, field: str, minimum: int) -> None:
        """Raises ConfigError unless the field is a number of gradient steps."""
        fits = minimum <= getattr(self, field) <= MAX_STEPS
        self.require(field, fits, f"must be {minimum} to {MAX_STEPS}")

    def require_positive(self, field: str) -> None:
        """Raises ConfigError unless the field is above zero."""
        self.require(field, getattr(self, field) > 0, "must be a number above 0")

    def require_limits(self, *fields: str) -> None:
        """Raises ConfigError unless these are above zero or None; 0 is how a flag says "none"."""
        for field in fields:
            if getattr(self, field) == 0:
                object.__setattr__(self, field, None)
            if getattr(self, field) is not None:
                self.require_positive(field)

    def require_widths(self, field: str, example: str) -> None:
        """Raises ConfigError unless the field is one layer width or more."""
        widths = getattr(self, field)
        fits = len(widths) > 0 and min(widths) > 0
        self.require(field, fits, f"needs one or more positive widths, such as {example}")

    def require_one_of(self, field: str, allowed: Sequence[str]) -> None:
        """Raises ConfigError unless the field is one of `allowed`."""
        self.require(field, getattr(self, field) in allowed, f"choose from {', '.join(allowed)}")

    def largest_arrays(self) -> dict[tuple[str, ...], int]:
        """How many numbers the largest arrays of the run hold, by the settings that size them."""
        return {}

    @property
    def has_fixed_length(self) -> bool:
        """Whether something was laid out over the number of iterations, so that none can follow."""
        return False

    @property
    def label(self) -> str:
        """The run as file names and legends say it: `maml`, `mumomaml-film-rates`; a domain may
        add."""
        named = (self.method, self.modulation, "rates" if self.learned_rates else None)
        return "-".join(part for part in named if part is not None)

    def to_json(self) -> str:
        """All settings, one per line."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def elsewhere(self) -> Self:
        """The config as another machine can use it: by default as it is."""
        return self

    def differences(
        self, other: Self, allowed: tuple[str, ...] | None = None, trained: int | None = None
    ) -> list[str]:
        """What keeps `other` from continuing this run, as `field: here, there`; empty if nothing.

        Args:
          other: of the same domain.
          allowed: fields that may differ; by default what any start of a run may change.
          trained: the iteration that the run is at. Any number of iterations that is not below it
            continues the run, unless the learning rate schedule was laid out over the old number.
        """
        if allowed is None:
            allowed = (*self.RESUMABLE, *set(self.EVALUATION).difference(self.VALIDATION))
        enough = math.inf
        if trained is not None and not self.has_fixed_length:
            enough = trained
        problems = []
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name in allowed or mine == theirs:
                continue
            if field.name == "iterations" and theirs >= enough:
                continue
            problems.append(f"{field.name} is {shown(mine)}, not {shown(theirs)}")
        return problems
