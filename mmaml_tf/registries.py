"""Names for what a user may choose or add, by kind of domain: methods, encoders, networks.

Free of TensorFlow: the files that register what is built in are imported when one is looked up.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

Entry = TypeVar("Entry")
Own = TypeVar("Own")


class Registry(Generic[Entry]):
    """Entries by kind of domain ("regression", "classification", "rl") and name.

    Args:
      built_in: by kind, the modules that register the project's own: imported when asked for, as
        not everyone has what all kinds need.
      made: the class or function that an entry is of.
    """

    def __init__(
        self,
        built_in: Mapping[str, Sequence[str]],
        made: Callable[[Entry], Any] = lambda entry: entry,
    ):
        self._built_in = built_in
        self._made = made
        self._entries: dict[str, dict[str, Entry]] = {}

    def add(self, name: str, kinds: Iterable[str], entry: Entry) -> None:
        """Makes an entry known to domains of these kinds, in place of an earlier definition of it.

        Raises:
          ValueError: if another one has the name.
        """
        for kind in kinds:
            known = self._entries.setdefault(kind, {})
            if name in known:
                require_same(name, self._made(known[name]), self._made(entry))
            known[name] = entry

    def register(self, name: str, *kinds: str) -> Callable[[Own], Own]:
        """Makes what it decorates available under `name` in domains of these kinds."""

        def add(entry: Own) -> Own:
            self.add(name, kinds, entry)  # type: ignore[arg-type]
            return entry

        return add

    def of(self, kind: str) -> dict[str, Entry]:
        """What domains of a kind know, by name, in the names' order."""
        for module in self._built_in.get(kind, ()):
            importlib.import_module(module)
        return dict(sorted(self._entries.get(kind, {}).items()))

    def remove(self, name: str) -> None:
        """Forgets an entry, as a test does with its own."""
        for entries in self._entries.values():
            entries.pop(name, None)


def require_same(name: str, known: Any, made: Any) -> None:
    """Raises ValueError unless two things of a name are one, which a notebook may define again."""
    if _origin(known) != _origin(made):
        module, qualname = _origin(known)
        raise ValueError(f"{name!r} is {module}.{qualname}: register yours under another name")


def _origin(made: Any) -> tuple[str, Any]:
    return made.__module__, getattr(made, "__qualname__", made)
