"""What a full disk, or too little memory, makes of a run: one line that says what is needed."""

import contextlib
import errno
import itertools
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mmaml_tf.config import ConfigError, RunConfig
from mmaml_tf.errors import RunError

FULL = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "this user's quota of the disk is full",
    errno.EFBIG: "no file may be so large here (ulimit -f)",
}
BYTES_PER_NUMBER = 4
MEGABYTE, GIGABYTE = 2**20, 2**30


@contextlib.contextmanager
def writing(path: Path, num_bytes: int) -> Iterator[None]:
    """Wraps what writes about so many bytes at a path.

    Raises:
      RunError: if the disk or the user's quota is full, or a file may not be so large: naming the
        place and the size.
    """
    try:
        yield
    except Exception as error:
        if (number := _fullness(error)) is None:
            raise
        needed = f"{_size(num_bytes)} needed at {path}"
        if number == errno.ENOSPC:
            needed += f", {_size(shutil.disk_usage(_existing(path)).free)} free"
        raise RunError(f"{FULL[number]}: {needed}; what was saved before stands") from error


@contextlib.contextmanager
def replacing(path: Path, num_bytes: int) -> Iterator[Path]:
    """Gives a place beside `path` to write about so many bytes to, a file or a folder.

    What was written takes the place of `path` when it is whole, and never before.

    Raises:
      RunError: if the disk is full; what was at `path` stays.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        with writing(path, num_bytes):
            _remove(partial)
            yield partial
            if path.is_dir() and partial.is_dir():  # a file never takes a folder's place
                _remove(path)
            partial.replace(path)
    except BaseException:
        _remove(partial)
        raise


@contextlib.contextmanager
def within_memory(config: RunConfig) -> Iterator[None]:
    """Wraps the work of a run.

    Raises:
      ConfigError: at once, if its largest arrays do not fit this machine.
      RunError: if memory runs out; what was saved stands.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for fields, count in config.largest_arrays().items():
        if count * BYTES_PER_NUMBER > total:
            made = _set(config, fields)
            largest = max(made, key=lambda field: np.max(getattr(config, field)))
            others = "".join(f" or --{field}" for field in made if field != largest)
            raise ConfigError(
                largest,
                getattr(config, largest),
                f"needs {_size(count * BYTES_PER_NUMBER)} of memory and this machine has "
                f"{_size(total)}: lower it{others}",
            )
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        every = dict.fromkeys(name for names in config.largest_arrays() for name in names)
        flags = (f"--{name}" for name in _set(config, every))
        raise RunError(f"out of memory: lower {', '.join(flags)}") from error


def _set(config: RunConfig, fields: Iterable[str]) -> list[str]:
    """Those of the settings that the run's method has, and that are not left out."""
    return [field for field in fields if getattr(config, field) is not None]


def _fullness(error: Exception) -> int | None:
    """Which of `FULL` an error is, if any."""
    if isinstance(error, OSError):
        return error.errno if error.errno in FULL else None
    import tensorflow as tf

    # Whose errors are no OSError, but say the same.
    words = str(error) if isinstance(error, tf.errors.OpError) else ""
    return next((number for number in FULL if os.strerror(number) in words), None)


def _is_out_of_memory(error: Exception) -> bool:
    import tensorflow as tf

    return isinstance(error, MemoryError | tf.errors.ResourceExhaustedError)


def unused(path: Path, prefix: str) -> Path:
    """Beside a path, one where nothing is: `<prefix>-1-<name>`, or with the next number."""
    paths = (path.with_name(f"{prefix}-{number}-{path.name}") for number in itertools.count(1))
    return next(free for free in paths if not os.path.lexists(free))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _existing(path: Path) -> Path:
    """The path or the nearest folder above it that exists."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def _size(num_bytes: int) -> str:
    if num_bytes >= GIGABYTE:
        return f"{num_bytes / GIGABYTE:,.0f} GB"
    if num_bytes >= MEGABYTE:
        return f"{num_bytes / MEGABYTE:.1f} MB"
    return f"{math.ceil(num_bytes / 2**10)} kB"
