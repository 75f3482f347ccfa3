"""The folder of one run: what is in it, and whether a run may use it."""

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, TypeVar

from mmaml_tf.config import RunConfig
from mmaml_tf.errors import RunError

ConfigT = TypeVar("ConfigT", bound=RunConfig)


class RunFolder:
    """Paths of a run, and its config and metrics files.

    Args:
      path: the folder, existing or not.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.metrics_file = self.path / "metrics.csv"
        self.evaluation_file = self.path / "evaluation.csv"
        self.evaluation_origin_file = self.path / "evaluation.json"
        self.provenance_file = self.path / "provenance.json"
        self.checkpoints = self.path / "checkpoints"
        self.best_checkpoint = self.checkpoints / "best"
        self.figures = self.path / "figures"
        self.tensorboard = self.path / "tensorboard"
        self.saved_model = self.path / "saved_model"

    def claim(self, config: RunConfig, overwrite: bool) -> None:
        """Makes this the folder of `config`'s run, new or resumed.

        Raises:
          RunError: if it holds another run or other files; nothing is touched then.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"--output_dir={self.path}: is a file, not a folder")
        held = self._contents()
        if overwrite:
            for path in held:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif self.config_file.exists():
            problems = [f"domain is {self.domain()}, not {config.domain}"]
            if self.domain() == config.domain:
                problems = self.config(type(config)).differences(config)
            if problems:
                raise RunError(
                    f"{self.path} holds another run ({'; '.join(problems)}): give another "
                    "--output_dir, or --overwrite to start over"
                )
        elif held:
            raise RunError(
                f"{self.path} holds {held[0].name} but no config.json, so it is not this run's: "
                "give another --output_dir, or --overwrite to start over"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.config_file, config.to_json())

    def _contents(self) -> list[Path]:
        """The files and folders here that a run would write."""
        own = (
            self.config_file,
            self.metrics_file,
            self.evaluation_file,
            self.evaluation_origin_file,
            self.provenance_file,
            self.checkpoints,
            self.figures,
            self.tensorboard,
            self.saved_model,
        )
        return [path for path in own if path.exists()]

    def domain(self) -> str:
        """The domain of the run that the folder holds.

        Raises:
          RunError: if it holds none, or its config can't be read.
        """
        if not self.config_file.exists():
            raise RunError(f"{self.path} holds no run (no config.json): train first")
        try:
            return json.loads(self.config_file.read_text())["domain"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.config_file} can't be read: {error}") from error

    def config(self, kind: type[ConfigT]) -> ConfigT:
        """The run's config.

        Raises:
          RunError: if it can't be read.
        """
        try:
            return kind.from_json(self.config_file.read_text())
        except (ValueError, TypeError) as error:
            raise RunError(f"{self.config_file} can't be read: {error}") from error

    def evaluated_config(self, config: ConfigT) -> ConfigT:
        """`config`, the run's, with the settings that its evaluation was made with."""
        try:
            evaluated = json.loads(self.evaluation_origin_file.read_text())["config"]
        except (OSError, ValueError, KeyError, TypeError):
            return config
        return type(config).from_settings(evaluated)

    def kept_iteration(self) -> int | None:
        """The iteration whose weights count: the best by validation, else the newest; or None."""
        kept = saved_iterations(self.best_checkpoint) or saved_iterations(self.checkpoints)
        return kept[0] if kept else None

    def truncate_metrics(self, iteration: int) -> None:
        """Drops the metrics rows after `iteration`, which a resumed run writes again."""
        if not self.metrics_file.exists():
            return
        with self.metrics_file.open(newline="") as file:
            rows = list(csv.DictReader(file))
        kept = [row for row in rows if _is_up_to(row, iteration)]
        if len(kept) < len(rows):
            lines = [",".join(rows[0])] + [",".join(str(v) for v in row.values()) for row in kept]
            write_atomically(self.metrics_file, "\n".join(lines) + "\n")

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Adds one row to metrics.csv, and the header before the first.

        The first row's columns stay those of the file, also where a run goes on under a version
        that logs others.
        """
        columns = list(row)
        is_new = not self.metrics_file.exists()
        if not is_new:
            with self.metrics_file.open(newline="") as file:
                columns = next(csv.reader(file), columns)
        with self.metrics_file.open("a", newline="") as file:
            writer = csv.DictWriter(
                file, columns, restval="", extrasaction="ignore", lineterminator="\n"
            )
            if is_new:
                writer.writeheader()
            writer.writerow(row)

    def metrics(self, column: str, iteration: int | None = None) -> list[float]:
        """A column of metrics.csv, up to `iteration` if given; empty if there is none."""
        if not self.metrics_file.exists():
            return []
        with self.metrics_file.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get(column)]
        return [float(r[column]) for r in rows if iteration is None or _is_up_to(r, iteration)]


def _is_up_to(row: dict[str, str], iteration: int) -> bool:
    """Whether a row of metrics.csv is whole and not later than `iteration`."""
    complete = None not in row and None not in row.values()
    return complete and row["iteration"].isdigit() and int(row["iteration"]) <= iteration


def saved_iterations(folder: Path) -> list[int]:
    """Iterations of which there is a checkpoint file in a folder, newest first."""
    names = (re.match(r"ckpt-(\d+)\.", path.name) for path in folder.glob("ckpt-*"))
    return sorted({int(name[1]) for name in names if name}, reverse=True)


def write_atomically(path: Path, text: str) -> None:
    """Writes a file that is never seen half-written."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)
