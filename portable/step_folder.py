"""What an exported folder holds, and how it is written. Needs NumPy alone."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np


class StepFolder:
    """Paths of an exported training step, and its files of arrays.

    Args:
      path: the folder, existing or not.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.program = self.path / "program.mlirbc"  # StableHLO, a portable artifact
        self.description = self.path / "description.json"
        self.constants = self.path / "constants.npz"  # the images, by the argument's index
        self.state = self.path / "state.npz"  # every variable, by its index
        self.best = self.path / "best.npz"  # likewise, where validation was best
        self.progress = self.path / "progress.json"  # what train.py has done

    def read(self, file: Path) -> dict[str, Any]:
        """A JSON file's content."""
        return json.loads(file.read_text())

    def write(self, file: Path, content: dict[str, Any]) -> None:
        """Writes a JSON file that is never seen half-written."""
        partial = file.with_name(file.name + ".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(partial, file)

    def read_arrays(self, file: Path) -> dict[int, np.ndarray]:
        """Arrays by index."""
        with np.load(file) as arrays:
            return {int(name): arrays[name] for name in arrays.files}

    def write_arrays(self, file: Path, arrays: dict[int, np.ndarray]) -> None:
        """Writes arrays, likewise never half-written."""
        partial = file.with_name(file.name + ".partial")
        with partial.open("wb") as target:
            named: dict[str, Any] = {str(index): array for index, array in arrays.items()}
            np.savez(target, **named)
        os.replace(partial, file)
