"""Meta-learning methods by name: what serves which kind of domain, with which settings.

Adding one is one file: a class with

    @register("mine", "regression", "classification")

and `--method=mine` selects it. Free of TensorFlow.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from mmaml_tf.registries import Registry

Learner = TypeVar("Learner")
Settings: TypeAlias = Mapping[str, Any]
Published: TypeAlias = Settings | Callable[[Settings], Settings]


@dataclass(frozen=True)
class Method:
    """How a kind of domain runs a method.

    Attributes:
      learner: what the domain builds it with; of a supervised domain, a `MetaLearner` class, or a
        function that makes one.
      settings: groups of settings that it has, of those that not every method has: the config's
        GROUPS, and what the domain knows itself (`FewShotDomain.arguments`).
      published: by a config's DATA, what of a domain's settings is the method's own: its paper's,
        or chosen; or a function that makes it of the domain's.
      is_trained: whether its iterations change anything.
    """

    learner: Any
    settings: frozenset[str]
    published: Mapping[str, Published]
    is_trained: bool = True

    def published_for(self, data: str, settings: Settings) -> Settings:
        """The method's own settings where the domain's are these."""
        own = self.published.get(data, {})
        return own(settings) if callable(own) else own


_SUPERVISED = tuple(
    f"mmaml_tf.learners.{name}"
    for name in (
        "maml",
        "multi_maml",
        "mumomaml",
        "modulation_only",
        "meta_sgd",
        "anil",
        "context",
        "baselines",
        "finetuned",
        "nearest_neighbour",
        "maml_plus_plus",
        "reptile",
        "parameter_average",
        "protonet",
        "matching",
        "in_context",
    )
)
METHODS: Registry[Method] = Registry(
    {
        "regression": _SUPERVISED,
        "classification": _SUPERVISED,
        "rl": ("mmaml_tf.rl.methods", "mmaml_tf.rl.rl2"),
    },
    made=lambda method: method.learner,
)
of = METHODS.of


def register(
    name: str,
    *kinds: str,
    settings: Iterable[str] | None = None,
    published: Mapping[str, Published] | None = None,
    is_trained: bool | None = None,
) -> Callable[[Learner], Learner]:
    """Makes a learner the method `name` of domains of these kinds.

    Args:
      name: as `--method` says it.
      *kinds: of domains: "regression", "classification", "rl".
      settings: see `Method`; by default what the learner's class says in SETTINGS.
      published: likewise, in PUBLISHED.
      is_trained: likewise, in `is_trained`.
    """

    def add(learner: Learner) -> Learner:
        own = getattr(learner, "SETTINGS", ()) if settings is None else settings
        defaults = getattr(learner, "PUBLISHED", {}) if published is None else published
        trained = getattr(learner, "is_trained", True) if is_trained is None else is_trained
        METHODS.add(name, kinds, Method(learner, frozenset(own), defaults, trained))
        return learner

    return add
