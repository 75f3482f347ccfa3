"""The one place that reads and writes the files of a run; whatever is wrong with one is one line.

What is read is checked against declared types (pydantic), so that a damaged or edited file is an
error that names it, and never a wrong number.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from absl import logging
from pydantic import Field, TypeAdapter, ValidationError

from mmaml_tf.config import LIMIT
from mmaml_tf.errors import RunError, quoted
from mmaml_tf.training.storage import replacing, unused

T = TypeVar("T")
# Numbers of these files, within the limits that what reads them has.
Count = Annotated[int, Field(ge=0, lt=LIMIT)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RunFileError(RunError):
    """A file of a run that is not what it should be: which, where in it, what is there instead."""


def read_text(file: Path) -> str:
    """A text file's content.

    Raises:
      RunFileError: if it is no text.
      OSError: if it can't be read.
    """
    try:
        return file.read_text(encoding="utf-8-sig")  # as some editors save it
    except UnicodeDecodeError as error:
        raise RunFileError(f"{file} is no text: {error.reason}") from error


def read_json(file: Path, kind: type[T]) -> T:
    """A JSON file as a `kind`: a dataclass, which takes no other keys, or any type of pydantic's.

    Raises:
      RunFileError: naming the file, the key, what is there and what is wanted.
      OSError: if it can't be read.
    """
    text = read_text(file)
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise _described(file, error) from error


def validated(file: Path, content: Any, kind: type[T]) -> T:
    """A part of a JSON file that was read already, likewise."""
    try:
        return TypeAdapter(kind).validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise _described(file, error) from error


def read_rows(file: Path, kind: type[T]) -> list[T]:
    """The rows of a CSV file, each a `kind`; of an empty file none.

    Raises:
      RunFileError: naming the file, the row (the first after the header is 1) and the column.
      OSError: if it can't be read.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(file)), strict=True)
        columns, rows = list(reader.fieldnames or []), list(reader)
    except csv.Error as error:
        raise RunFileError(f"{file} is no CSV: {error}") from error
    if repeated := [name for name in dict.fromkeys(columns) if columns.count(name) > 1]:
        raise RunFileError(f"{file} has several columns {', '.join(repeated)}")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise RunFileError(f"{file}: row {number} has not as many cells as the header")
    try:
        return TypeAdapter(list[kind]).validate_python(rows)  # type: ignore[valid-type]
    except ValidationError as error:
        raise _described(file, error, "row") from error


def csv_text(columns: Sequence[str], rows: Sequence[Mapping[Any, Any]]) -> str:
    """Rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def digest(text: str) -> str:
    """Twelve hexadecimal digits that tell texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_atomically(path: Path, text: str) -> None:
    """Writes a file that is never seen half-written.

    Raises:
      RunError: if the disk is full; what was there stays.
    """
    with replacing(path, len(text)) as partial:
        partial.write_text(text, encoding="utf-8")


def set_aside(path: Path, reason: object) -> None:
    """Renames a file that can't be read, with a warning, so that nothing of it is lost."""
    kept = path.rename(unused(path, "unreadable"))
    logging.warning("%s; it is kept as %s", reason, kept.name)


def _described(file: Path, error: ValidationError, item: str = "entry") -> RunFileError:
    """The first thing that is wrong; `item` is what one of a list is called."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return RunFileError(f"{file} is no JSON: {first['ctx']['error']}")
    place = " ".join(
        f"{item} {part + 1}" if isinstance(part, int) else part for part in first["loc"]
    )
    if first["type"] == "missing":
        return RunFileError(f"{file}: {place} is missing")
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return RunFileError(f"{file}: {place} is nothing that this version knows")
    if first["type"] == "value_error":  # a check of the dataclass itself, which says all
        return RunFileError(f"{file}: {first['ctx']['error']}")
    wanted = first["msg"].removeprefix("Input ")
    return RunFileError(f"{file}: {place or 'it'} is {quoted(first['input'])}, but {wanted}")
