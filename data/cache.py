"""Where decoded images are kept between runs."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from absl import logging


def user_cache_dir() -> Path:
    """$XDG_CACHE_HOME/mmaml_tf, by default ~/.cache/mmaml_tf."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmaml_tf"


def cached(
    name: str,
    versions: Iterable[str],
    shape: tuple[int, ...],
    decode: Callable[[], np.ndarray],
    cache_dir: str | Path | None = None,
) -> np.ndarray:
    """Decoded images: from a file named after a checksum of what they were made from, or made.

    A file that is damaged is made again; where it can't be written, there is none.

    Args:
      name: of the images, and of the file.
      versions: lines that change when the images would.
      shape: the images' first axes.
      decode: makes them, uint8.
      cache_dir: for the file; by default `user_cache_dir()`.
    """
    digest = hashlib.sha256("".join(versions).encode()).hexdigest()
    folder = Path(cache_dir) if cache_dir is not None else user_cache_dir()
    path = folder / f"{name}-{digest[:16]}.npy"
    images = _read(path, shape)
    if images is None:
        print(f"decoding {name} once, into {path}")
        images = decode()
        _write(path, images)
    return images


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """What a file holds; None if there is none, or it is damaged."""
    try:
        images = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        logging.warning("%s is damaged (%s); decoding again", path, error)
        return None
    if images.shape[: len(shape)] != shape or images.dtype != np.uint8:
        logging.warning("%s does not hold these images; decoding again", path)
        return None
    return images


def _write(path: Path, images: np.ndarray) -> None:
    """Never seen half-written."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.save(file, images)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        logging.warning("no cache for the decoded images: %s", error)
