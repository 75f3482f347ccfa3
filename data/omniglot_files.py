"""Omniglot's files: found in a folder, or downloaded into it.

Omniglot (Lake, Salakhutdinov, Tenenbaum 2015; MIT licence) comes as two archives of PNGs named
`images_background/<alphabet>/<character>/<drawing>.png`, and `images_evaluation/...`.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import keras

from mmaml_tf.errors import RunError

ORIGIN = "https://github.com/brendenlake/omniglot/raw/master/python"
# The two archives, by name, and the published ones' md5. Only downloads are held to it: an archive
# that is already there may have been packed by someone else.
ARCHIVES = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
_REPLACE = "put a good copy there, or delete it to have it downloaded"
_DRAWING = re.compile(r"images_\w+/([^/]+/[^/]+)/[^/]+\.png")


class ImageFiles:
    """The PNGs of one archive, packed or extracted.

    Args:
      path: a zip file, or the folder that was in it.

    Raises:
      RunError: if the zip file can't be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            files = path.rglob("*.png")
            stats = {f"{path.name}/{file.relative_to(path).as_posix()}": file for file in files}
            self._versions = {
                name: f"{file.stat().st_size} {file.stat().st_mtime_ns}"
                for name, file in stats.items()
            }
            return
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise RunError(f"{path} is not a whole zip archive ({error}): {_REPLACE}") from error
        self._versions = {
            member.filename: f"{member.file_size} {member.CRC}" for member in self._zip.infolist()
        }

    def drawings(self) -> dict[str, list[str]]:
        """The names of every character's PNGs, in order, by `<alphabet>/<character>`."""
        found: dict[str, list[str]] = {}
        for name in sorted(self._versions):
            match = _DRAWING.fullmatch(name)
            if match:
                found.setdefault(match[1], []).append(name)
        return found

    def read(self, name: str) -> bytes:
        """The content of a PNG.

        Raises:
          RunError: if the archive is damaged there.
        """
        if self._zip is None:
            return (self.path.parent / name).read_bytes()
        try:
            return self._zip.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise RunError(f"{self.path} is damaged at {name} ({error}): {_REPLACE}") from error

    def versions(self) -> Iterator[str]:
        """Lines that change with the files' content: a checksum, or the time of the last change."""
        for name in sorted(self._versions):
            yield f"{name} {self._versions[name]}\n"


def find_or_download(data_dir: Path) -> list[ImageFiles]:
    """Omniglot's archives, downloaded into `data_dir` where they are missing.

    Raises:
      RunError: if one is neither there nor can be downloaded, or can't be read.
    """
    found = []
    for name, md5 in ARCHIVES.items():
        path = data_dir / f"{name}.zip"
        if not path.exists() and (data_dir / name).is_dir():
            path = data_dir / name
        elif not path.exists():
            _download(path, md5)
        found.append(ImageFiles(path))
    return found


def _download(path: Path, md5: str) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.get_file(
            fname=partial.name,
            origin=f"{ORIGIN}/{path.name}",
            file_hash=md5,
            hash_algorithm="md5",
            cache_dir=str(path.parent),
            cache_subdir="",
        )
    except Exception as error:  # what get_file raises, offline or at a wrong checksum
        partial.unlink(missing_ok=True)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        archives = " and ".join(f"{name}.zip" for name in ARCHIVES)
        raise RunError(
            f"{path} is not there and can't be downloaded ({reason}): put Omniglot's {archives} "
            f"from github.com/brendenlake/omniglot (folder python) into {path.parent}, or name "
            "their folder with --data_dir"
        ) from error
    partial.rename(path)
