"""Where decoded images are kept between runs."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from absl import logging


def user_cache_dir() -> Path:
    """$XDG_CACHE_HOME/mmaml_tf, by default ~/.cache/mmaml_tf."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmaml_tf"


def write(path: Path, save: Callable[[BinaryIO], None]) -> None:
    """Writes a file that is never seen half-written; goes without where it can't be written.

    Args:
      path: of the file.
      save: writes its content.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            save(file)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        logging.warning("no cache for the decoded images: %s", error)
