"""What a table of results is made of: places, rows, and the trainings of each row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Flags = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where the rows of a table are trained: a domain and, of images, a kind of task.

    Attributes:
      domain: as `--domain` says it.
      setting: such as 5way-1shot, as the labels of its runs say it.
      flags: that all its trainings have.
      modes: that its table has columns of.
      papers: whose figures its column has.
      steps: gradient steps after which the table shows a method that takes as many; None for all.
    """

    domain: str
    setting: str = ""
    flags: Flags = ()
    modes: tuple[str, ...] = ()
    papers: str = ""
    steps: int | None = None

    @property
    def key(self) -> str:
        """What names it among the places of all tables."""
        return self.setting or self.domain


@dataclass(frozen=True)
class Row:
    """A method with its settings.

    Attributes:
      name: what the tables say.
      method: as `--method` says it.
      modulation: as `--modulation` says it; empty for methods without.
      variant: tells the row's folders from those that are called the same otherwise.
      network: as `--network` says it; empty for the domain's own.
      flags: of its trainings.
      flags_at: more of them, by a place's key.
      papers: figures of the papers, by a place's key, a column's head, or the number of updates.
      places: keys of the only places that have the row; all of the table by default.
      evaluations: further ones of the same weights, by what they add to the label.
      steps: gradient steps after which it is shown, where not as the place says.
      is_shown: whether the table has it.
    """

    name: str
    method: str
    modulation: str = ""
    variant: str = ""
    network: str = ""
    flags: Flags = ()
    flags_at: Mapping[str, Flags] = field(default_factory=dict)
    papers: Mapping[str, str] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    evaluations: Mapping[str, Flags] = field(default_factory=dict)
    steps: int | None = None
    is_shown: bool = True

    @property
    def key(self) -> str:
        """What names it among the rows of a table."""
        return joined(self.method, self.modulation, self.network, self.variant)

    def at(self, place: Place) -> "Training":
        """Its training at a place of its table."""
        chosen = [f"--method={self.method}", f"--domain={place.domain}"]
        if self.modulation:
            chosen.append(f"--modulation={self.modulation}")
        if self.network:
            chosen.append(f"--network={self.network}")
        more = self.flags_at.get(place.key, ())
        return Training(
            domain=place.domain,
            plain=joined(self.method, self.modulation, self.network, place.setting),
            variant=self.variant,
            flags=(*chosen, *place.flags, *self.flags, *more),
            evaluations=self.evaluations,
        )


@dataclass(frozen=True)
class Training:
    """What is trained once per seed.

    Attributes:
      domain: its domain.
      plain: the label that the run gives itself.
      variant: see `Row`.
      flags: of the command, but for the seed and the folder.
      evaluations: see `Row`.
    """

    domain: str
    plain: str
    variant: str
    flags: Flags
    evaluations: Mapping[str, Flags]

    @property
    def label(self) -> str:
        """Names the folders of its runs in results/ and pretrained/."""
        return joined(self.plain, self.variant)


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
      places: its columns, or the one domain that it is of.
      rows: in order.
    """

    places: tuple[Place, ...]
    rows: tuple[Row, ...]

    def trainings(self) -> Iterator[tuple[Row, Place, Training]]:
        """All, place by place."""
        for place in self.places:
            for row in self.rows:
                if not row.places or place.key in row.places:
                    yield row, place, row.at(place)


def joined(*parts: str) -> str:
    """A label of its parts, without the empty ones."""
    return "-".join(filter(None, parts))
