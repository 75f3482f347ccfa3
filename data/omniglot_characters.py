"""Omniglot's characters as one array: decoded once, then loaded from a cache."""

import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Self

import numpy as np
import tensorflow as tf

from data.cache import cached
from data.image_files import LabelledFiles
from data.omniglot_files import REPLACE, find_or_download
from mmaml_tf.errors import RunError

DRAWINGS = 20
DRAWN_SIZE = 105
SIZE = 28
# Part of a cache's name: raise it when `decode` changes, so that old caches are not used.
DECODING = 1
# Where the drawings of a character are, and what they are called.
Drawings = tuple[LabelledFiles, list[str]]


@dataclass(frozen=True)
class Characters:
    """Handwritten characters.

    Attributes:
      images: uint8 [characters, DRAWINGS, SIZE, SIZE]; 255 is ink, 0 is paper.
      names: `<alphabet>/<character>` of each, [characters].
    """

    images: np.ndarray
    names: np.ndarray

    @cached_property
    def alphabets(self) -> np.ndarray:
        """The alphabet of each, [characters]."""
        return np.array([name.split("/")[0] for name in self.names])

    def chosen(self, indices: np.ndarray) -> Self:
        """Some of the characters."""
        return type(self)(self.images[indices], self.names[indices])

    def __len__(self) -> int:
        return len(self.names)


def load(data_dir: str | Path, cache_dir: str | Path | None = None) -> Characters:
    """All characters, sorted by name.

    The first call decodes the PNGs (some ten seconds) and writes a cache file, named after a
    checksum of what it was made from; a cache that is stale or damaged is made again.

    Args:
      data_dir: holds images_background.zip and images_evaluation.zip, or the folders of that name;
        what is missing is downloaded into it.
      cache_dir: for the cache; by default `data.cache.user_cache_dir()`.

    Raises:
      RunError: if an archive is missing and can't be downloaded, or one can't be read.
    """
    sources = find_or_download(Path(os.path.expanduser(data_dir)))
    drawings = {name: of for source in sources for name, of in _drawings(source)}
    names = sorted(drawings)
    images = cached(
        "omniglot",
        [f"decoding {DECODING}\n", *(line for source in sources for line in source.versions())],
        (len(names), DRAWINGS, SIZE, SIZE),
        functools.partial(decode, [drawings[name] for name in names]),
        cache_dir,
    )
    return Characters(images, np.array(names))


def _drawings(source: LabelledFiles) -> Iterator[tuple[str, Drawings]]:
    """Every character of an archive, `<alphabet>/<character>`, and the names of its files."""
    for files in source.classes.values():
        name = "/".join(PurePosixPath(files[0]).parent.parts[-2:])
        if len(files) != DRAWINGS:
            raise RunError(f"{source.path}: {name} has {len(files)} drawings, not {DRAWINGS}")
        yield name, (source, files)


def decode(characters: Iterable[Drawings]) -> np.ndarray:
    """Reads every drawing and shrinks it to SIZE x SIZE by averaging areas.

    Returns:
      uint8 [characters, DRAWINGS, SIZE, SIZE].

    Raises:
      RunError: naming the file, if one is no PNG of the right size.
    """
    images = []
    for source, files in characters:
        drawn = tf.stack([_decode_drawing(source, file) for file in files])
        ink = 255.0 - tf.image.resize(drawn, [SIZE, SIZE], method="area")[..., 0]
        images.append(np.rint(ink.numpy()).astype(np.uint8))
    return np.stack(images)


def _decode_drawing(source: LabelledFiles, file: str) -> tf.Tensor:
    """[DRAWN_SIZE, DRAWN_SIZE, 1], 255 is paper."""
    try:
        png = source.read(file)
    except RunError as error:
        raise RunError(f"{error}: {REPLACE}") from error
    try:
        drawn = tf.io.decode_png(png, channels=1)
    except tf.errors.InvalidArgumentError as error:
        raise RunError(f"{source.path}: {file} is not a readable PNG") from error
    if drawn.shape != (DRAWN_SIZE, DRAWN_SIZE, 1):
        raise RunError(
            f"{source.path}: {file} has {drawn.shape[0]} x {drawn.shape[1]} pixels, "
            f"not {DRAWN_SIZE} x {DRAWN_SIZE}"
        )
    return drawn
