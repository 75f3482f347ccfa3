"""What the command and its reports ask of a domain, and a run of one as they read it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import pandas as pd
from matplotlib.figure import Figure

from mmaml_tf.config import RunConfig
from mmaml_tf.errors import RunError
from mmaml_tf.reporting.evaluation import read_evaluation
from mmaml_tf.training import fit, provenance
from mmaml_tf.training.run_folder import RunFolder, saved_iterations


class Domain(Protocol):
    """A task distribution with everything that learning on it takes."""

    config: RunConfig

    def build_learner(self) -> keras.Model:
        """A fresh learner, built and compiled."""

    def train(self, learner: keras.Model, folder: RunFolder) -> None:
        """Trains it, resuming if the folder holds checkpoints."""

    def evaluate(self, learner: keras.Model) -> Any:
        """Measures it on fresh tasks."""

    def summarise(self, results: Any) -> pd.DataFrame:
        """The measurements as rows of evaluation.csv."""

    def run_figures(
        self, learner: keras.Model, results: Any, metrics: pd.DataFrame
    ) -> dict[str, Figure]:
        """Figures of one run, by file name."""

    def report_figures(self, runs: "Sequence[ReportedRun]") -> dict[str, Figure]:
        """Figures that compare runs, by file name."""

    def export(self, learner: keras.Model, path: Path) -> None:
        """Saves it as a SavedModel."""


class ReportedRun:
    """A trained and evaluated run, read for a report.

    Args:
      domain: built from the run's own config.
      folder: of the run.
      evaluated: where its evaluation.csv is, if not there (`--checkpoint` writes elsewhere).
      label: for tables and legends, without the seed; empty for the run's own, with what tells it
        from others.

    Raises:
      RunError: if the run was not evaluated.
    """

    def __init__(
        self,
        domain: Domain,
        folder: RunFolder,
        evaluated: RunFolder | None = None,
        label: str = "",
    ):
        evaluated = evaluated or folder
        evaluation_file = evaluated.evaluation_file
        if not evaluation_file.exists():
            raise RunError(
                f"{evaluation_file.parent} has no {evaluation_file.name}: --mode=evaluate makes it"
            )
        self.domain = domain
        self.label = label
        self.group = label  # of the runs that may differ in the seed alone
        self.folder = folder
        self.evaluation = read_evaluation(evaluation_file)
        self.metrics = folder.metrics.table()
        self.history = provenance.held(folder.provenance_file)
        self.evaluated_at = evaluated_at(evaluated, folder)

    @property
    def trained_to(self) -> int | None:
        """The last iteration that was logged, or else of which there are weights."""
        logged = self.metrics["iteration"].tolist() or saved_iterations(self.folder.checkpoints)
        return max(logged, default=None)

    @property
    def has_weights(self) -> bool:
        """Whether there is a learner: a run may be kept without its weights."""
        return self.folder.kept_iteration() is not None

    def learner(self) -> keras.Model:
        """The trained learner."""
        learner = self.domain.build_learner()
        fit.restore(learner, self.folder)
        return learner


def evaluated_at(evaluated: RunFolder, run: RunFolder) -> int | None:
    """The iteration whose weights an evaluation is of; if it does not say so, the run's own."""
    known = evaluated.evaluated_iteration()
    return run.kept_iteration() if known is None else known
