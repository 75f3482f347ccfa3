"""Names for what a user may choose or add: methods and task encoders, by kind of domain.

Free of TensorFlow: the files that register what is built in are imported when one is looked up.
"""

import importlib
from collections.abc import Iterable
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Entries by kind of domain ("regression", "classification", "rl") and name.

    Args:
      *built_in: modules that register the project's own.
    """

    def __init__(self, *built_in: str):
        self._built_in = built_in
        self._entries: dict[str, dict[str, Entry]] = {}

    def add(self, name: str, kinds: Iterable[str], entry: Entry) -> None:
        """Makes an entry known to domains of these kinds; of two with one name the later counts."""
        for kind in kinds:
            self._entries.setdefault(kind, {})[name] = entry

    def of(self, kind: str) -> dict[str, Entry]:
        """What domains of a kind know, by name, in the names' order."""
        self._load()
        return dict(sorted(self._entries.get(kind, {}).items()))

    def all(self) -> dict[str, Entry]:
        """What any domain knows, by name; of two with one name the first."""
        self._load()
        known: dict[str, Entry] = {}
        for entries in self._entries.values():
            known = entries | known
        return known

    def remove(self, name: str) -> None:
        """Forgets an entry, as a test does with its own."""
        for entries in self._entries.values():
            entries.pop(name, None)

    def _load(self) -> None:
        for module in self._built_in:
            importlib.import_module(module)
