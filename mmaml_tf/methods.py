"""Meta-learning methods by name: what serves which kind of domain, with which settings.

Adding one is one file: a class with

    @register("mine", "regression", "classification", settings=["modulation"])

and `--method=mine` selects it. Free of TensorFlow; the methods' own files are imported when one is
looked up.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

# Where the methods of this project are registered.
BUILT_IN = ("mmaml_tf.meta_learners", "mmaml_tf.rl.methods")

Learner = TypeVar("Learner")


@dataclass(frozen=True)
class Method:
    """How a kind of domain runs a method.

    Attributes:
      learner: what the domain builds it with; of a supervised domain, a `MetaLearner` class.
      settings: groups of settings that it has, of those that not every method has (the config's
        GROUPS).
    """

    learner: Any
    settings: frozenset[str]


_METHODS: dict[str, dict[str, Method]] = {}


def register(name: str, *kinds: str, settings: Iterable[str] = ()) -> Callable[[Learner], Learner]:
    """Makes a learner the method `name` of domains of these kinds.

    Args:
      name: as `--method` says it.
      *kinds: of domains: "regression", "classification", "rl".
      settings: see `Method`.
    """

    def add(learner: Learner) -> Learner:
        for kind in kinds:
            _METHODS.setdefault(kind, {})[name] = Method(learner, frozenset(settings))
        return learner

    return add


def of(kind: str) -> dict[str, Method]:
    """The methods that domains of a kind know, by name."""
    for module in BUILT_IN:
        importlib.import_module(module)
    return _METHODS.get(kind, {})


def names() -> list[str]:
    """All methods' names."""
    for module in BUILT_IN:
        importlib.import_module(module)
    return list(dict.fromkeys(name for known in _METHODS.values() for name in known))
