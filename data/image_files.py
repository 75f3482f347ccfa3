"""Labelled images in folders or zips: `class/image`, and a `splits.json` if there is one."""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mmaml_tf.errors import RunError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}
SPLITS = "splits.json"
# What macOS adds to a zip: no images, whatever they are called.
FROM_MACOS = "__MACOSX/"
SPLIT_NAMES = ("train", "val", "test")


class LabelledFiles:
    """The images of a set, by class.

    Args:
      path: a zip of `class/image`, a folder of such, or a folder of such zips; `splits.json` lies
        beside the classes or beside the zips. Folders around all of the classes do not count, and
        a class may be named by several, as `alphabet/character` is.

    Raises:
      RunError: if `path` is not there, holds none, or a zip that can't be read; if a folder holds
        both zips and classes, or two zips one image.
    """

    def __init__(self, path: Path):
        if not path.exists():
            raise RunError(f"{path} is not there: name a folder or a zip of class/image")
        self.path = path
        zips = sorted(path.glob("*.zip")) if path.is_dir() else [path]
        # By the file's name: the zip that it is in, if any, and what tells its versions apart.
        self._zips: dict[str, zipfile.ZipFile] = {}
        self._versions: dict[str, str] = {}
        for file, archive in zip(zips, map(_opened, zips), strict=True):
            for member in archive.infolist():
                name = member.filename
                if name.startswith(FROM_MACOS):
                    continue
                if name in self._zips and _is_image(name):
                    raise RunError(f"{file} holds {name}, as another zip beside it does")
                self._zips[name] = archive
                self._versions[name] = f"{member.file_size} {member.CRC}"
        if path.is_dir():
            files = {file.relative_to(path).as_posix(): file.stat() for file in path.rglob("*")}
            loose = {n: f"{s.st_size} {s.st_mtime_ns}" for n, s in files.items() if _is_image(n)}
            in_folders = [name for name in loose if "/" in name]
            if in_folders and zips:
                raise RunError(
                    f"{path} holds both {zips[0].name} and {min(in_folders)}: name a folder of "
                    "zips, or one of class/image"
                )
            self._versions |= loose
        self.classes = self._by_class()
        if not self.classes:
            raise RunError(f"{path} holds no class/image ({', '.join(sorted(SUFFIXES))})")

    def _by_class(self) -> dict[str, list[str]]:
        parts = {
            name: PurePosixPath(name).parent.parts
            for name in sorted(self._versions)
            if _is_image(name)
        }
        parts = {name: folders for name, folders in parts.items() if folders}
        folders = [*{*parts.values()}]
        around = os.path.commonprefix(folders) if len(folders) > 1 else ()
        classes: dict[str, list[str]] = {}
        for name, path in parts.items():
            classes.setdefault("/".join(path[len(around) :]), []).append(name)
        return classes

    def versions(self) -> list[str]:
        """Lines that change when an image does."""
        names = sorted(name for members in self.classes.values() for name in members)
        return [f"{name} {self._versions[name]}\n" for name in names]

    def read(self, name: str) -> bytes:
        """The content of an image file.

        Raises:
          RunError: if it can't be read.
        """
        try:
            if name in self._zips:
                return self._zips[name].read(name)
            return (self.path / name).read_bytes()
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise RunError(f"{self.path}: {name} can't be read ({error})") from error

    def splits(self) -> Mapping[str, list[str]] | None:
        """Class names by "train", "val" and "test"; None where no file says it.

        Raises:
          RunError: if it is not such lists, names classes that are absent, or one class twice.
        """
        beside = (self.path if self.path.is_dir() else self.path.parent) / SPLITS
        if beside.exists():
            text = beside.read_bytes()
        elif SPLITS in self._zips:
            text = self.read(SPLITS)
        else:
            return None
        wanted = f"must hold lists of classes, {', '.join(SPLIT_NAMES)}"
        try:
            found = json.loads(text)
            splits = {name: [str(entry) for entry in found[name]] for name in SPLIT_NAMES}
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{beside} {wanted}") from error
        named = [entry for name in SPLIT_NAMES for entry in splits[name]]
        absent = [entry for entry in named if entry not in self.classes]
        if absent:
            raise RunError(f"{beside} names {absent[0]}, which is no class of {self.path}")
        if len({*named}) < len(named):
            raise RunError(f"{beside} names a class twice")
        return splits


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise RunError(f"{path} is not a whole zip archive ({error})") from error
