"""Compares trained runs of a domain: tables of what they reached and where they come from."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import keras
import pandas as pd

from mmaml_tf.config import RunConfig, shown
from mmaml_tf.errors import RunError
from mmaml_tf.reporting import figures, markdown
from mmaml_tf.reporting.actions import Domain
from mmaml_tf.reporting.evaluation import BEFORE_MODULATION, read_evaluation, step_name
from mmaml_tf.training import provenance
from mmaml_tf.training.callbacks import time_text
from mmaml_tf.training.run_files import write_atomically
from mmaml_tf.training.run_folder import RunFolder

# Gradient steps that get a column of their own where not all do: among them those that the papers
# report on.
SHOWN_STEPS = (BEFORE_MODULATION, 0, 1, 3, 5)


class ReportedRun:
    """A trained and evaluated run, read for a report.

    Args:
      domain: built from the run's own config.
      folder: of the run.
      evaluated: where its evaluation.csv is, if not there (`--checkpoint` writes elsewhere).
      label: for tables and legends; empty for the run's own, with what tells it from others.

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
        self.folder = folder
        self.evaluation = read_evaluation(evaluation_file)
        self.metrics = folder.metrics.table()
        self.history = provenance.held(folder.provenance_file)
        self.evaluated_at = evaluated.evaluated_iteration() or folder.kept_iteration()

    @property
    def has_weights(self) -> bool:
        """Whether there is a learner: a run may be kept without its weights."""
        return self.folder.kept_iteration() is not None

    def learner(self) -> keras.Model:
        """The trained learner."""
        learner = self.domain.build_learner()
        self.domain.restore(learner, self.folder)
        return learner


def report(runs: Sequence[ReportedRun], folder: Path) -> None:
    """Compares runs of a domain: prints Markdown tables, draws the figures.

    Raises:
      RunError: if the runs are of several domains.
    """
    domains = {run.domain.config.domain for run in runs}
    if len(domains) > 1:
        raise RunError(f"a report compares runs of one domain, not of {', '.join(sorted(domains))}")
    for run, label in zip(runs, distinct_labels([run.domain.config for run in runs]), strict=True):
        run.label = run.label or label
    tables = f"{comparison_table(runs)}\n\n{origin_table(runs)}"
    print(tables)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "table.md", tables + "\n")
    rows = [
        run.evaluation.assign(
            method=run.domain.config.method,
            modulation=run.domain.config.modulation or "",
            seed=run.domain.config.seed,
            run=run.label,
        )
        for run in runs
    ]
    write_atomically(folder / "evaluation.csv", pd.concat(rows).to_csv(index=False))
    for name, figure in runs[0].domain.report_figures(runs).items():
        figures.save(figure, folder / f"{name}.png")
    print(f"wrote {folder}")


def distinct_labels(configs: Sequence[RunConfig]) -> list[str]:
    """The runs' labels; those that share one also name the settings in which they differ.

    Settings of the evaluation alone are named by all runs, if any differ in them.
    """

    def differ(name: str, among: Sequence[RunConfig]) -> bool:
        return len({str(getattr(config, name)) for config in among}) > 1

    labels = []
    for config in configs:
        namesakes = [other for other in configs if other.label == config.label]
        names = [field.name for field in dataclasses.fields(config)]
        settings = [
            f"{name}={shown(getattr(config, name))}"
            for name in names
            if name not in (*config.RESUMABLE, *set(config.EVALUATION) - set(config.VALIDATION))
            and differ(name, configs if name in config.EVALUATION else namesakes)
        ]
        labels.append(" ".join([config.label, *settings]))
    return labels


def comparison_table(runs: Sequence[ReportedRun]) -> str:
    """One row per run, Markdown: the metric after each step, and per mode after the last.

    Of more than four steps only some get a column. Where the runs take different numbers of them,
    as methods without any do, the last columns are after all that a run takes.
    """
    every = pd.concat([run.evaluation for run in runs])
    modes = list(every["mode"].unique())
    steps = sorted(every["step"].unique().tolist())
    if len(steps) > 4:
        steps = [step for step in steps if step in SHOWN_STEPS or step == steps[-1]]
    *earlier, last = [(step, step_name(step)) for step in steps]
    ends = [run.evaluation["step"].max() for run in runs]
    at_the_end = last[1] if len({*ends}) == 1 else "after all steps"
    metric = runs[0].evaluation["metric"].iloc[0]
    names = [f"{metric} {name}, all" for _, name in earlier]
    names += [f"{metric} {at_the_end}, {mode}" for mode in modes]
    rows = []
    for run, end in zip(runs, ends, strict=True):
        by_key = run.evaluation.set_index(["step", "mode"])
        columns = [(step, "all") for step, _ in earlier] + [(end, mode) for mode in modes]
        cells = [
            f"{by_key['mean'][key]:.4f} ± {by_key['ci95'][key]:.4f}" if key in by_key.index else ""
            for key in columns
        ]
        rows.append([run.label, *cells, str(by_key["num_tasks"][(0, "all")])])
    return markdown.table(["method", *names, "tasks"], rows)


def origin_table(runs: Sequence[ReportedRun]) -> str:
    """One row per run, Markdown: seed, iterations, and of all its starts what provenance has.

    "evaluated" is the iteration whose weights were, where validation picks them, or training ended
    badly. Cells are empty where there is no provenance.
    """
    rows = []
    for run in runs:
        seconds = sum(entry["seconds"] for entry in run.history)
        rows.append(
            [
                run.label,
                str(run.domain.config.seed),
                str(run.metrics["iteration"].iloc[-1]),
                str(run.evaluated_at),
                _distinct(entry["commit"] or "?" for entry in run.history),
                time_text(seconds) if run.history else "",
                _distinct(entry.get("device") or str(entry["cores"]) for entry in run.history),
                _distinct(f"`{entry['command']}`" for entry in run.history),
            ]
        )
    head = [
        "method",
        "seed",
        "iterations",
        "evaluated",
        "commit",
        "time",
        "cores or GPU",
        "command",
    ]
    return markdown.table(head, rows)


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))
