"""Where a run comes from: command, commit, versions, machine and time, kept in its folder."""

import datetime
import hashlib
import json
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NotRequired

import keras
import tensorflow as tf
from typing_extensions import TypedDict

from mmaml_tf.devices import execution
from mmaml_tf.devices.cores import num_cores
from mmaml_tf.training.run_files import (
    Count,
    RunFileError,
    Seconds,
    read_json,
    set_aside,
    write_atomically,
)

PACKAGES = ("tensorflow", "keras", "mujoco", "numpy")


class Start(TypedDict):
    """One start of a run.

    Attributes:
      command: that made it.
      commit: of this code; None outside a git checkout.
      started: date and time, UTC.
      cores: that it had; None where a GPU trained.
      device: the name of that GPU.
      execution: where and how meta-steps were computed.
      devices: types of TensorFlow's devices.
      workers: processes that trained together; left out for one alone.
      python: its version.
      versions: of the packages that matter; None for one that is not installed.
      iterations: that the run was at in the end.
      seconds: that it took.
    """

    command: str
    commit: str | None
    started: str
    cores: Count | None
    device: NotRequired[str]
    execution: NotRequired[str]
    devices: list[str]
    workers: NotRequired[Count]
    python: str
    versions: dict[str, str | None]
    iterations: Count
    seconds: Seconds


class RecordProvenance(keras.callbacks.Callback):
    """Keeps a list with one entry per start of the run, whose seconds add up to the run's.

    The entry is written anew after every logging interval, so that a run that fails, is interrupted
    or is killed has one too.

    Args:
      file: of the run, provenance.json.
      workers: processes that train together.
    """

    def __init__(self, file: Path, workers: int = 1):
        super().__init__()
        self.file = file
        self.workers = workers

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the entry, and its clock."""
        self._began = time.monotonic()
        try:
            self._earlier = held(self.file)
        except RunFileError as error:
            set_aside(self.file, error)
            self._earlier = []
        self._entry = origin(self.model) | ({"workers": self.workers} if self.workers > 1 else {})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes how far this start has come, and in what time."""
        entry = self._entry | {
            "iterations": int(self.model.optimizer.iterations),
            "seconds": round(time.monotonic() - self._began, 1),
        }
        write(self.file, [*self._earlier, entry])


def origin(learner: keras.Model) -> dict[str, Any]:
    """What ran, of which version, when and on what."""
    return {
        "command": shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cores": None if execution.has_gpu() else num_cores(),
        **({"device": execution.device()} if execution.has_gpu() else {}),
        "execution": execution.described(learner),
        "devices": [device.device_type for device in tf.config.list_physical_devices()],
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str | None]:
    """Of the packages that matter; None for one that is not installed."""
    return {name: _version(name) for name in PACKAGES}


def write(file: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Writes a run's provenance.json."""
    write_atomically(file, json.dumps(entries, indent=1) + "\n")


def held(file: Path) -> list[Start]:
    """The entries of `file`; none if it is not there.

    Raises:
      RunFileError: if it can't be read.
    """
    return read_json(file, list[Start]) if file.exists() else []


def code() -> str:
    """A digest of this package's files, whatever they were installed by."""
    content = hashlib.sha256()
    for path in sorted(Path(__file__).resolve().parents[1].rglob("*.py")):
        content.update(path.read_bytes())
    return content.hexdigest()[:12]


def commit() -> str | None:
    """The commit of this code, with "+" if it was changed since; None outside a git checkout."""
    here = Path(__file__).resolve().parent
    try:
        # A checkout that merely surrounds an installed copy says nothing about it.
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no", "--", "*.py")
        return _git(here, "rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
