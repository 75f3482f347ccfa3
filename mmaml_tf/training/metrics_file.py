"""metrics.csv: one row per logging interval, with the same columns from the first on."""

import csv
import re
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, BeforeValidator

from mmaml_tf.training.run_files import (
    Count,
    RunFileError,
    csv_text,
    read_rows,
    read_text,
    set_aside,
    write_atomically,
)
from mmaml_tf.training.storage import writing

# A cell is empty where a run went on under a version that does not log its column.
Cell = Annotated[float | None, BeforeValidator(lambda text: None if text == "" else text)]


class Row(BaseModel, extra="allow"):
    """What every row has, and numbers that not every run logs."""

    __pydantic_extra__: dict[str, Cell]
    iteration: Count
    loss: Cell


class MetricsFile:
    """A run's metrics.csv.

    Keras's CSVLogger has the numbers of one `fit` alone: this one drops the rows that a resumed run
    makes again, and keeps its columns where a later version logs others.

    Args:
      path: of the file, existing or not.
    """

    def __init__(self, path: Path):
        self.path = path

    def exists(self) -> bool:
        """Whether anything was ever logged."""
        return self.path.exists() and self.path.stat().st_size > 0

    def append(self, row: dict[str, Any]) -> None:
        """Adds one row, and the header before the first; other columns than the file's are left."""
        columns, before = list(row), ""
        if self.exists():
            text = read_text(self.path)
            columns = next(csv.reader(text.splitlines()), columns)
            before = "" if text.endswith("\n") else "\n"  # an editor may have cut it off
        else:
            before = ",".join(columns) + "\n"
        line = ",".join(str(row.get(column, "")) for column in columns) + "\n"
        with writing(self.path, len(line)), self.path.open("a", newline="") as file:
            file.write(before + line)

    def truncate(self, iteration: int) -> None:
        """Drops the rows after `iteration`, which a resumed run makes again, and a last row that
        was cut in mid-write.

        A file in which more is wrong is set aside; the rows of it that are whole are kept.
        """
        if not self.exists():
            return
        try:
            text = read_text(self.path)
            columns, rows = self._parsed(text)
        except RunFileError as error:
            set_aside(self.path, error)
            return
        whole = [row for row in rows if _is_whole(row)]
        if rows[: len(whole)] != whole or len(rows) - len(whole) > (not text.endswith("\n")):
            set_aside(self.path, f"{self.path} has rows that are none, which are left out")
        kept = [row for row in whole if int(row["iteration"]) <= iteration]
        new = csv_text(columns, kept)
        if not self.exists() or new.encode() != self.path.read_bytes():
            write_atomically(self.path, new)

    def _parsed(self, text: str) -> tuple[list[str], list[dict[Any, Any]]]:
        """The columns and the rows, whole or not."""
        try:
            rows = csv.DictReader(text.splitlines())
            columns, content = list(rows.fieldnames or []), list(rows)
        except csv.Error as error:
            raise RunFileError(f"{self.path} is no CSV: {error}") from error
        for name in dict.fromkeys([*Row.model_fields, *columns]):
            if columns.count(name) != 1:
                raise RunFileError(f"{self.path} has {columns.count(name)} columns {name}, not 1")
        return columns, content

    def table(self) -> pd.DataFrame:
        """All rows; missing cells are NaN. Of a file that is empty or gone, none.

        Raises:
          RunFileError: if the header, or one of them, is not as a `Row` is.
        """
        rows = [row.model_dump() for row in self._rows()]
        table = pd.DataFrame(rows, columns=None if rows else [*Row.model_fields], dtype=float)
        return table.astype({"iteration": int})

    def last_iteration(self) -> int:
        """That of the last row.

        Raises:
          RunFileError: if there is none, or one is not as a `Row` is.
        """
        if not (rows := self._rows()):
            raise RunFileError(f"{self.path} has no rows: it says how a run was trained")
        return rows[-1].iteration

    def column(self, name: str, iteration: int | None = None) -> list[float]:
        """A column's numbers, up to `iteration` if given; empty if there are none.

        Raises:
          RunFileError: if a cell is no number.
        """
        limit = float("inf") if iteration is None else iteration
        cells = [row.model_dump().get(name) for row in self._rows() if row.iteration <= limit]
        return [cell for cell in cells if cell is not None]

    def _rows(self) -> list[Row]:
        if not self.exists():
            return []
        self._parsed(read_text(self.path))  # says what is no header, even where no row follows
        return read_rows(self.path, Row)


def _is_whole(row: dict[Any, Any]) -> bool:
    """Whether a row has a cell for every column, each a number or empty."""
    if None in row or None in row.values() or not re.fullmatch("[0-9]+", row["iteration"]):
        return False
    try:
        return all(cell == "" or float(cell) is not None for cell in row.values())
    except ValueError:
        return False
