"""Omniglot's characters as one array: decoded once, then loaded from a cache."""

import functools
import hashlib
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import tensorflow as tf
from absl import logging

from data.cache import user_cache_dir, write
from data.omniglot_files import ImageFiles, find_or_download
from mmaml_tf.errors import RunError

DRAWINGS = 20
DRAWN_SIZE = 105
SIZE = 28
# Part of a cache's name: raise it when `decode` changes, so that old caches are not used.
DECODING = 1


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
    digest = hashlib.sha256(f"decoding {DECODING}\n".encode())
    for source in sources:
        for line in source.versions():
            digest.update(line.encode())
    folder = Path(cache_dir) if cache_dir is not None else user_cache_dir()
    cache = folder / f"omniglot-{digest.hexdigest()[:16]}.npz"
    characters = _read_cache(cache)
    if characters is None:
        print(f"decoding Omniglot once, into {cache}")
        characters = decode(sources)
        write(cache, functools.partial(_save, characters))
    return characters


def decode(sources: Sequence[ImageFiles]) -> Characters:
    """Reads every drawing and shrinks it to SIZE x SIZE by averaging areas.

    Raises:
      RunError: naming the file, if one is no PNG of the right size, or a character has not exactly
        DRAWINGS of them, or there are no characters at all.
    """
    images, names = [], []
    for source in sources:
        drawings = source.drawings()
        if not drawings:
            raise RunError(f"{source.path} holds no <alphabet>/<character>/<drawing>.png")
        for name, files in drawings.items():
            if len(files) != DRAWINGS:
                raise RunError(f"{source.path}: {name} has {len(files)} drawings, not {DRAWINGS}")
            drawn = tf.stack([_decode_drawing(source, file) for file in files])
            ink = 255.0 - tf.image.resize(drawn, [SIZE, SIZE], method="area")[..., 0]
            images.append(np.rint(ink.numpy()).astype(np.uint8))
            names.append(name)
    order = np.argsort(names)
    return Characters(np.stack(images)[order], np.array(names)[order])


def _decode_drawing(source: ImageFiles, file: str) -> tf.Tensor:
    """[DRAWN_SIZE, DRAWN_SIZE, 1], 255 is paper."""
    try:
        drawn = tf.io.decode_png(source.read(file), channels=1)
    except tf.errors.InvalidArgumentError as error:
        raise RunError(f"{source.path}: {file} is not a readable PNG") from error
    if drawn.shape != (DRAWN_SIZE, DRAWN_SIZE, 1):
        raise RunError(
            f"{source.path}: {file} has {drawn.shape[0]} x {drawn.shape[1]} pixels, "
            f"not {DRAWN_SIZE} x {DRAWN_SIZE}"
        )
    return drawn


def _read_cache(path: Path) -> Characters | None:
    """What a cache holds; None if there is none, or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            characters = Characters(file["images"], file["names"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        logging.warning("%s is damaged (%s); decoding again", path, error)
        return None
    if characters.images.shape != (len(characters), DRAWINGS, SIZE, SIZE):
        logging.warning("%s does not hold Omniglot; decoding again", path)
        return None
    return characters


def _save(characters: Characters, file: BinaryIO) -> None:
    np.savez_compressed(file, images=characters.images, names=characters.names)
