"""metrics.csv: one row per logging interval, with the same columns from the first on."""

import csv
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BeforeValidator

from mmaml_tf.training.run_files import (
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
Row = dict[str, Cell]


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
        columns, header = list(row), ""
        if self.exists():
            with self.path.open(newline="") as file:
                columns = next(csv.reader(file), columns)
        else:
            header = ",".join(columns) + "\n"
        line = ",".join(str(row.get(column, "")) for column in columns) + "\n"
        with writing(self.path, len(line)), self.path.open("a", newline="") as file:
            file.write(header + line)

    def truncate(self, iteration: int) -> None:
        """Drops the rows after `iteration`, which a resumed run makes again.

        A row that was cut in mid-write is one of them, or the user's doing; it goes, too. A file
        that is no metrics.csv at all is set aside.
        """
        if not self.exists():
            return
        try:
            lines = read_text(self.path).splitlines()
            columns = next(csv.reader(lines[:1]))
            if "iteration" not in columns:
                raise RunFileError(f"{self.path}: iteration is missing in the header")
        except (RunFileError, csv.Error, StopIteration) as error:
            set_aside(self.path, error)
            return
        rows = csv.DictReader(lines)
        kept = [row for row in rows if _is_whole(row) and int(row["iteration"]) <= iteration]
        text = csv_text(kept) if kept else lines[0] + "\n"
        if text != "\n".join(lines) + "\n" or not read_text(self.path).endswith("\n"):
            write_atomically(self.path, text)

    def table(self) -> pd.DataFrame:
        """All rows; missing cells are NaN.

        Raises:
          RunFileError: if one is no number, or there is no row or no `iteration`.
        """
        rows = read_rows(self.path, Row) if self.exists() else []
        if not rows:
            raise RunFileError(f"{self.path} has no rows: train first")
        for name in ("iteration", "loss"):
            if name not in rows[0]:
                raise RunFileError(f"{self.path}: {name} is missing in the header")
        return pd.DataFrame(rows, dtype=float).astype({"iteration": int})

    def column(self, name: str, iteration: int | None = None) -> list[float]:
        """A column's numbers, up to `iteration` if given; empty if there are none.

        Raises:
          RunFileError: if a cell is no number.
        """
        if not self.exists():
            return []
        limit = float("inf") if iteration is None else iteration
        cells = [(row["iteration"], row.get(name)) for row in read_rows(self.path, Row)]
        return [cell for at, cell in cells if cell is not None and (at or 0) <= limit]


def _is_whole(row: dict[Any, Any]) -> bool:
    """Whether a row has a cell for every column, each a number or empty."""
    if None in row or None in row.values() or not row["iteration"].isdigit():
        return False
    try:
        return all(cell == "" or float(cell) is not None for cell in row.values())
    except ValueError:
        return False
