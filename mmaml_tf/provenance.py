"""Where a run comes from: command, commit, versions, machine and time, kept in its folder."""

import contextlib
import datetime
import json
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.cores import num_cores
from mmaml_tf.run_folder import write_atomically

PACKAGES = ("tensorflow", "keras", "mujoco", "numpy")


@contextlib.contextmanager
def recorded(file: Path, learner: keras.Model) -> Iterator[None]:
    """Adds what happens in this context to `file`, a list with one entry per start of the run.

    An entry also comes of a training that fails or is interrupted (not of one that is killed), so
    that the seconds of all add up to the run's. Nothing is written if no iteration was made.
    """
    began = time.monotonic()
    entry: dict[str, Any] = {
        "command": shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cores": num_cores(),
        "devices": [device.device_type for device in tf.config.list_physical_devices()],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }
    try:
        yield
    finally:
        iterations = int(learner.optimizer.iterations)
        entries = held(file)
        if iterations > (entries[-1]["iterations"] if entries else 0):
            entry |= {"iterations": iterations, "seconds": round(time.monotonic() - began, 1)}
            write_atomically(file, json.dumps([*entries, entry], indent=1) + "\n")


def held(file: Path) -> list[dict[str, Any]]:
    """The entries of `file`; none if it is not there or can't be read."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return []


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
