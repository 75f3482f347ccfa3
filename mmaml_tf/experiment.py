"""What the command does with a run: train, evaluate, export, report. Knows no domain."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import pandas as pd
from matplotlib.figure import Figure

from mmaml_tf import figures, provenance
from mmaml_tf.config import RunConfig
from mmaml_tf.errors import RunError
from mmaml_tf.run_folder import RunFolder, write_atomically


class Domain(Protocol):
    """A task distribution with everything that learning on it takes."""

    config: RunConfig

    def build_learner(self) -> keras.Model:
        """A fresh learner, built and compiled."""

    def train(self, learner: keras.Model, folder: RunFolder) -> None:
        """Trains it, resuming if the folder holds checkpoints."""

    def restore(self, learner: keras.Model, folder: RunFolder) -> int:
        """Restores it from the folder; returns the iteration it was saved at."""

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


def train(domain: Domain, folder: RunFolder, overwrite: bool = False) -> None:
    """Trains (or resumes), evaluates, draws and exports."""
    learner = domain.build_learner()
    folder.claim(domain.config, overwrite)
    print(f"{domain.config.label} on {domain.config.domain}, in {folder.path}")
    with provenance.recorded(folder.provenance_file, learner):
        domain.train(learner, folder)
    _evaluate(domain, learner, folder, folder)
    _export(domain, learner, folder)


def evaluate(domain: Domain, folder: RunFolder, output: RunFolder) -> None:
    """Evaluates and draws a trained run. What is written goes to `output`."""
    learner = domain.build_learner()
    print(f"evaluating iteration {domain.restore(learner, folder)} of {folder.path}")
    _evaluate(domain, learner, folder, output)


def export(domain: Domain, folder: RunFolder, output: RunFolder) -> None:
    """Exports a trained run. What is written goes to `output`."""
    learner = domain.build_learner()
    domain.restore(learner, folder)
    _export(domain, learner, output)


def _evaluate(domain: Domain, learner: keras.Model, folder: RunFolder, output: RunFolder) -> None:
    results = domain.evaluate(learner)
    table = domain.summarise(results)
    output.path.mkdir(parents=True, exist_ok=True)
    write_atomically(output.evaluation_file, table.to_csv(index=False))
    print(steps_table(table).to_string())
    metrics = pd.read_csv(folder.metrics_file)
    for name, figure in domain.run_figures(learner, results, metrics).items():
        figures.save(figure, output.figures / f"{name}.png")
    print(f"wrote {output.evaluation_file} and {output.figures}")


def _export(domain: Domain, learner: keras.Model, output: RunFolder) -> None:
    domain.export(learner, output.saved_model)
    print(f"wrote {output.saved_model}")


class ReportedRun:
    """A trained and evaluated run, read for a report.

    Args:
      domain: built from the run's own config.
      folder: of the run.

    Raises:
      RunError: if the run was not evaluated.
    """

    def __init__(self, domain: Domain, folder: RunFolder):
        for file in (folder.evaluation_file, folder.metrics_file):
            if not file.exists():
                raise RunError(f"{folder.path} has no {file.name}: --mode=evaluate makes it")
        self.domain = domain
        self.label = domain.config.label
        self.seed = domain.config.seed
        self.folder = folder
        self.evaluation = pd.read_csv(folder.evaluation_file)
        self.metrics = pd.read_csv(folder.metrics_file)

    def learner(self) -> keras.Model:
        """The trained learner."""
        learner = self.domain.build_learner()
        self.domain.restore(learner, self.folder)
        return learner


def report(runs: Sequence[ReportedRun], folder: Path) -> None:
    """Compares runs of a domain: prints a Markdown table, draws the figures.

    Raises:
      RunError: if the runs are of several domains.
    """
    domains = {run.domain.config.domain for run in runs}
    if len(domains) > 1:
        raise RunError(f"a report compares runs of one domain, not of {', '.join(sorted(domains))}")
    if len({run.label for run in runs}) < len(runs):
        for run in runs:
            run.label = f"{run.label} seed {run.seed}"
    table = comparison_table(runs)
    print(table)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "table.md", table + "\n")
    rows = [run.evaluation.assign(method=run.label, seed=run.seed) for run in runs]
    write_atomically(folder / "evaluation.csv", pd.concat(rows).to_csv(index=False))
    for name, figure in runs[0].domain.report_figures(runs).items():
        figures.save(figure, folder / f"{name}.png")
    print(f"wrote {folder}")


def comparison_table(runs: Sequence[ReportedRun]) -> str:
    """One row per run, Markdown: the metric after each step, and per mode after the last.

    Of more than four steps only the first and the last get a column.
    """
    modes = list(runs[0].evaluation["mode"].unique())
    steps = sorted(runs[0].evaluation["step"].unique())
    if len(steps) > 4:
        steps = [steps[0], steps[-1]]
    metric = runs[0].evaluation["metric"].iloc[0]
    columns = [(step, "all") for step in steps[:-1]] + [(steps[-1], mode) for mode in modes]
    names = [f"{metric} after {step} steps, {mode}" for step, mode in columns]
    lines = ["| method | " + " | ".join(names) + " | tasks |", "|---" * (len(names) + 2) + "|"]
    for run in runs:
        by_key = run.evaluation.set_index(["step", "mode"])
        cells = [f"{by_key['mean'][key]:.4f} ± {by_key['ci95'][key]:.4f}" for key in columns]
        num_tasks = by_key["num_tasks"][(0, "all")]
        lines.append(f"| {run.label} | " + " | ".join(cells) + f" | {num_tasks} |")
    return "\n".join(lines)


def steps_table(evaluation: pd.DataFrame) -> pd.DataFrame:
    """evaluation.csv for reading: a row per step, a column per mode, `mean ± ci95`."""
    cells = evaluation.assign(
        cell=[
            f"{mean:.4f} ± {ci:.4f}"
            for mean, ci in zip(evaluation["mean"], evaluation["ci95"], strict=True)
        ]
    )
    table = cells.pivot(index="step", columns="mode", values="cell")
    return table[list(evaluation["mode"].unique())]
