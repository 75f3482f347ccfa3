"""The folder of one run: what is in it, whether a run may use it, and that one process does."""

import contextlib
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NotRequired, TypeVar

import filelock
from typing_extensions import TypedDict

from mmaml_tf.config import ConfigError, RunConfig
from mmaml_tf.errors import RunError
from mmaml_tf.training.metrics_file import MetricsFile
from mmaml_tf.training.run_files import (
    Count,
    RunFileError,
    digest,
    read_json,
    read_text,
    validated,
    write_atomically,
)
from mmaml_tf.training.storage import writing

ConfigT = TypeVar("ConfigT", bound=RunConfig)
MAKER = "mmaml_tf"
LOCK = ".run.lock"
SCORE = "score.json"  # of the best checkpoint, beside it
CHECKPOINT_FILE = re.compile(r"ckpt-(\d+)\.(?:index|data-\d{5}-of-\d{5})")
# Of the command that the lock's file quotes.
MAX_SIGNATURE = 200


class _Named(TypedDict):
    """What every run's config says, of any version: enough to tell it from another program's."""

    domain: str
    method: str
    seed: int
    iterations: int
    meta_batch_size: int
    log_every: int
    checkpoint_every: int
    eval_tasks: int
    eval_seed: int


class _Source(TypedDict):
    """What marks a folder as made by this program, of a run or of several."""

    made_by: str
    source: str


class _EvaluationOrigin(TypedDict):
    """What evaluation.json says of the run that was evaluated."""

    config: dict[str, Any]
    iteration: Count | None
    digest: NotRequired[str]  # of evaluation.csv; earlier versions had none


class RunFolder:
    """Paths of a run, and its config and metrics files.

    Args:
      path: the folder, existing or not; `~` is the home folder.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(os.path.expanduser(path))
        self.config_file = self.path / "config.json"
        self.metrics = MetricsFile(self.path / "metrics.csv")
        self.evaluation_file = self.path / "evaluation.csv"
        self.evaluation_origin_file = self.path / "evaluation.json"
        self.source_file = self.path / "source.json"
        self.provenance_file = self.path / "provenance.json"
        self.checkpoints = self.path / "checkpoints"
        self.best_checkpoint = self.checkpoints / "best"
        self.figures = self.path / "figures"
        self.tensorboard = self.path / "tensorboard"
        self.saved_model = self.path / "saved_model"

    @contextlib.contextmanager
    def claimed(self, config: RunConfig, overwrite: bool = False) -> Iterator[None]:
        """While this lasts, the folder is that of `config`'s run, new or resumed, and no other's.

        Its config.json is for the training to keep (`keep`), once nothing stands in its way.

        Raises:
          RunError: if it holds another run or other files, or another process is at work in it;
            nothing is touched then.
        """
        self._check(config, overwrite)
        with self.locked(overwrite):
            self._check(config, overwrite)  # another process may have been faster
            if overwrite:
                for path in self._contents():
                    shutil.rmtree(path) if _is_real_folder(path) else path.unlink()
            yield

    @contextlib.contextmanager
    def locked(self, overwrite: bool = False) -> Iterator[None]:
        """Keeps other processes from writing here; a process that was killed holds nothing.

        Args:
          overwrite: what is here is not written to, but goes.

        Raises:
          RunError: if another one does, naming it; if the disk is full; or if there is something
            else where a file or folder of the run goes. Nothing is touched then.
        """
        if not overwrite:
            self._check_parts()
        file = self.path / LOCK
        # One object per path: the same process may lock it again within.
        lock = filelock.FileLock(file, blocking=False, on_acquired=_sign, is_singleton=True)
        try:
            with writing(file, MAX_SIGNATURE):
                self.path.mkdir(parents=True, exist_ok=True)
                lock.acquire()
        except filelock.Timeout:
            raise RunError(
                f"{self.path} is in use by {self.holder()}: wait for it, stop it, or give "
                "another --output_dir"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def holder(self) -> str:
        """The process that holds the lock, or did last; "nobody" if none ever did."""
        file = self.path / LOCK
        return file.read_text(errors="replace") if file.exists() else "nobody"

    @contextlib.contextmanager
    def claimed_for(self, source: str) -> Iterator[None]:
        """While this lasts, the folder takes what is made of a `source`, such as a report.

        Raises:
          RunError: if it holds what was not made so, or another process is at work in it.
        """
        self._check_place()
        if self.holds_run():
            raise RunError(f"{self.path} holds a run: give another --output_dir")
        held = sorted(path.name for path in self.path.glob("*") if path.name != LOCK)
        made_of = self._source()
        if held and made_of is None:
            raise RunError(
                f"{self.path} holds {', '.join(held)}, which this program may not replace (there "
                f"is no {self.source_file.name} of its own): give another --output_dir"
            )
        if held and made_of != source:
            raise RunError(
                f"{self.path} holds what was made of another run ({made_of}): give another "
                "--output_dir"
            )
        with self.locked():
            write_atomically(self.source_file, json.dumps(_Source(made_by=MAKER, source=source)))
            yield

    def unless_taken(self, source: str) -> "RunFolder":
        """This folder if it is new or was made of the same source; else the next: name-2, ..."""
        number, folder = 1, self
        while folder.path.exists() and folder._source() != source:
            number += 1
            folder = RunFolder(self.path.with_name(f"{self.path.name}-{number}"))
        return folder

    def _source(self) -> str | None:
        """What the folder's content was made of; None if this program did not make it."""
        try:
            made = read_json(self.source_file, _Source)
        except (OSError, RunFileError):
            return None
        return made["source"] if made["made_by"] == MAKER else None

    def keep(self, config: RunConfig) -> None:
        """Writes config.json."""
        write_atomically(self.config_file, config.to_json())

    def _check(self, config: RunConfig, overwrite: bool) -> None:
        """Raises RunError unless `config`'s run may use the folder."""
        self._check_place()
        held = [path.name for path in self._contents()]
        if not held:
            return
        try:
            domain = self.domain()
        except RunError as error:
            raise RunError(
                f"{self.path} is no run of this program, but holds {', '.join(held)} ({error}): "
                "give another --output_dir, or move them away"
            ) from error
        if overwrite:
            return
        problems = [f"domain is {domain}, not {config.domain}"]
        if domain == config.domain:
            saved = saved_iterations(self.checkpoints)
            problems = self.config(type(config)).differences(config, trained=max(saved, default=0))
        if problems:
            raise RunError(
                f"{self.path} holds another run ({'; '.join(problems)}): give another "
                "--output_dir, or --overwrite to start over"
            )

    def _check_place(self) -> None:
        """Raises RunError for a file, and for what is inside another run, which may replace it."""
        if os.path.lexists(self.path) and not self.path.is_dir():
            raise RunError(f"--output_dir={self.path}: is no folder")
        place = Path(os.path.realpath(self.path))
        for part in (place, *place.parents):
            run = RunFolder(part.parent)
            if part in run._own() and run.is_run():
                raise RunError(
                    f"{self.path} is a part of the run in {run.path}: give another --output_dir"
                )

    def _check_parts(self) -> None:
        """Raises RunError for a file where a run has a folder, or a folder where it has a file."""
        parts = self._contents()
        if self.checkpoints.is_dir() and os.path.lexists(self.best_checkpoint):
            parts.append(self.best_checkpoint)
        for part in parts:
            kind = "folder" if part in (*self._folders(), self.best_checkpoint) else "file"
            if not (part.is_dir() if kind == "folder" else part.is_file()):
                raise RunError(f"{part} is no {kind}, as a run writes one there: move it away")

    def _own(self) -> tuple[Path, ...]:
        """The files and folders that a run writes, config.json last."""
        return (
            self.metrics.path,
            self.evaluation_file,
            self.evaluation_origin_file,
            self.provenance_file,
            *self._folders(),
            self.config_file,
        )

    def _folders(self) -> tuple[Path, ...]:
        return self.checkpoints, self.figures, self.tensorboard, self.saved_model

    def _contents(self) -> list[Path]:
        """Those of them that are here."""
        return [path for path in self._own() if os.path.lexists(path)]

    def holds_run(self) -> bool:
        """Whether there is a config.json, readable or not."""
        return self.config_file.exists()

    def is_run(self) -> bool:
        """Whether there is one, and it is a run's."""
        try:
            return bool(self.domain())
        except (RunError, OSError):
            return False

    def domain(self) -> str:
        """The domain of the run that the folder holds.

        Raises:
          RunError: if it holds none, or its config can't be read.
        """
        if not self.holds_run():
            raise RunError(f"{self.path} holds no run (no config.json): train first")
        return read_json(self.config_file, _Named)["domain"]

    def config(self, kind: type[ConfigT]) -> ConfigT:
        """The run's config.

        Raises:
          RunError: if it can't be read.
        """
        return _config(self.config_file, read_json(self.config_file, dict), kind)

    def evaluated_config(self, config: ConfigT) -> ConfigT:
        """`config`, the run's, with the settings that its evaluation was made with.

        Raises:
          RunError: if these can't be read, or are another run's.
        """
        if (origin := self._evaluation_origin()) is None:
            return config
        evaluated = _config(self.evaluation_origin_file, origin["config"], type(config))
        own = (*config.EVALUATION, *config.RESUMABLE, "iterations")
        if problems := config.differences(evaluated, allowed=own):
            raise RunFileError(
                f"{self.evaluation_origin_file} is of another run ({'; '.join(problems)}): "
                "--mode=evaluate makes one of this"
            )
        return evaluated

    def evaluated_iteration(self) -> int | None:
        """The iteration whose weights were evaluated; None where nothing says it."""
        origin = self._evaluation_origin()
        return None if origin is None else origin["iteration"]

    def _evaluation_origin(self) -> _EvaluationOrigin | None:
        file, numbers = self.evaluation_origin_file, self.evaluation_file
        if not file.exists():
            return None
        origin = read_json(file, _EvaluationOrigin)
        known = origin.get("digest")
        if known is not None and numbers.exists() and digest(read_text(numbers)) != known:
            raise RunFileError(
                f"{numbers} is not the evaluation that {file.name} describes: --mode=evaluate "
                "makes it anew"
            )
        return origin

    def kept_iteration(self) -> int | None:
        """The iteration whose weights count: the best by validation, else the newest; or None."""
        kept = saved_iterations(self.best_checkpoint) or saved_iterations(self.checkpoints)
        return kept[0] if kept else None


def saved_iterations(folder: Path) -> list[int]:
    """Iterations of which there is a checkpoint file in a folder, newest first."""
    found = (CHECKPOINT_FILE.fullmatch(path.name) for path in folder.glob("ckpt-*"))
    return sorted({int(match[1]) for match in found if match}, reverse=True)


def checkpoint_files(folder: Path, iteration: int) -> list[Path]:
    """The files of a checkpoint, and nothing that is only called like one."""
    found = ((CHECKPOINT_FILE.fullmatch(path.name), path) for path in folder.glob("ckpt-*"))
    return sorted(path for match, path in found if match and int(match[1]) == iteration)


def _config(file: Path, content: dict[str, Any], kind: type[ConfigT]) -> ConfigT:
    """A file's config, whatever version wrote it, as this machine can use it."""
    try:
        content = kind.upgraded(content)
    except ConfigError as error:
        raise RunFileError(f"{file}: {error}") from error
    return validated(file, content, kind).elsewhere()


def _is_real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _sign(lock_file: int) -> None:
    """Writes who holds the lock into its open file."""
    holder = (
        f"process {os.getpid()} on {os.uname().nodename} ({shlex.join(sys.argv)[:MAX_SIGNATURE]})"
    )
    os.ftruncate(lock_file, 0)
    os.pwrite(lock_file, holder.encode(), 0)
