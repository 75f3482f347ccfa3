"""Image sets as arrays: decoded once to the wanted size, then loaded from a cache."""

import functools
import io
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data.cache import cached
from data.episodes import by_stream, split
from data.image_files import SPLIT_NAMES, LabelledFiles
from mmaml_tf.errors import RunError
from mmaml_tf.tasks import TaskStream

# Part of a cache's name: raise it when `_decode` changes, so that old caches are not used.
DECODING = 2
# Of a set without splits.json: for training and validation; the rest is for the test
# (Ravi & Larochelle's shares).
SHARES = (0.64, 0.16)


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one size.

    Attributes:
      name: of the set.
      images: uint8 [images, size, size, channels], class after class; one channel if all are gray.
      names: of the classes.
      starts: the first image of each class, and the number of images: [classes + 1].
      splits: class indices of each stream.
    """

    name: str
    images: np.ndarray
    names: tuple[str, ...]
    starts: np.ndarray
    splits: Mapping[TaskStream, np.ndarray]


def load(
    path: str | Path, size: int, split_seed: int = 0, cache_dir: str | Path | None = None
) -> ImageSet:
    """A set's images, its classes sorted by name.

    The first call decodes the files and writes a cache, named after a checksum of what it was made
    from; a cache that is stale or damaged is made again.

    Args:
      path: see `LabelledFiles`; the set's name is its last part.
      size: height and width; images are cropped to squares and scaled.
      split_seed: of the split, where no splits.json says it.
      cache_dir: for the cache; by default `data.cache.user_cache_dir()`.

    Raises:
      RunError: as `LabelledFiles`; if an image can't be read.
    """
    path = Path(os.path.expanduser(path))
    files = LabelledFiles(path)
    sizes = [len(members) for members in files.classes.values()]
    images = cached(
        f"{path.stem}-{size}",
        [f"decoding {DECODING}\n", *files.versions()],
        (sum(sizes), size, size),
        functools.partial(_decode, files, size),
        cache_dir,
    )
    names = tuple(files.classes)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return ImageSet(path.stem, images, names, starts, _splits(files, names, split_seed))


def _splits(
    files: LabelledFiles, names: tuple[str, ...], seed: int
) -> Mapping[TaskStream, np.ndarray]:
    """Class indices: as splits.json says, or at random."""
    given = files.splits()
    if given is not None:
        index = {name: i for i, name in enumerate(names)}
        return by_stream([np.array([index[n] for n in given[s]], int) for s in SPLIT_NAMES])
    ends = np.cumsum([round(share * len(names)) for share in SHARES]).tolist()
    return split(len(names), seed, ends)


def _decode(files: LabelledFiles, size: int) -> np.ndarray:
    """All images, [images, size, size, 1 or 3]."""

    def decoded(name: str) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(files.read(name))) as image:
                shown = _of_bytes(image)
                mode = "L" if shown.mode in ("1", "L") else "RGB"
                return np.asarray(ImageOps.fit(shown.convert(mode), (size, size)))
        except (UnidentifiedImageError, OSError, ValueError) as error:
            raise RunError(f"{files.path}: {name} is no readable image") from error

    names = [name for members in files.classes.values() for name in members]
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(decoded, names))
    if all(image.ndim == 2 for image in images):
        return np.stack(images)[..., None]
    return np.stack([np.stack([i] * 3, -1) if i.ndim == 2 else i for i in images])


def _of_bytes(image: Image.Image) -> Image.Image:
    """An image of 16-bit greys as one of bytes, which Pillow would cut off at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
