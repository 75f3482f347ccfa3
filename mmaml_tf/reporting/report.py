"""Compares trained runs of a domain: tables of what they reached and where they come from."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from mmaml_tf.config import RunConfig, shown
from mmaml_tf.errors import RunError
from mmaml_tf.reporting import figures, markdown, seeds
from mmaml_tf.reporting.domain import ReportedRun
from mmaml_tf.reporting.evaluation import BEFORE_MODULATION, step_name
from mmaml_tf.training.callbacks import time_text
from mmaml_tf.training.run_files import write_atomically

# Gradient steps that get a column of their own where not all do: among them those that the papers
# report on.
SHOWN_STEPS = (BEFORE_MODULATION, 0, 1, 3, 5)
# Columns of an evaluation that count what is behind it.
COUNTS = {"num_seeds": "seeds", "num_tasks": "tasks"}
OVER_SEEDS = (
    "Over trainings: the mean of several seeds ± its 95% interval (Student's t over them), and "
    "apart from it the interval over the tasks within a training (the trainings' mean)."
)
DIFFERENCES = (
    "The row's method less the column's after all steps, over all tasks: the mean difference ± its "
    "95% interval (Student's t), paired by seed, (of how many seeds)."
)


def report(runs: Sequence[ReportedRun], folder: Path) -> None:
    """Compares runs of a domain: prints Markdown tables, draws the figures.

    Raises:
      RunError: if the runs are of several domains.
    """
    domains = {run.domain.config.domain for run in runs}
    if len(domains) > 1:
        raise RunError(f"a report compares runs of one domain, not of {', '.join(sorted(domains))}")
    _name(runs)
    tables = [comparison_table([(run.label, run.evaluation) for run in runs])]
    several = [group for group in seeds.grouped(runs) if len(group.runs) > 1]
    if several:
        tables += [OVER_SEEDS, comparison_table([(g.label, g.evaluation) for g in several])]
    if len(several) > 1:
        tables += [DIFFERENCES, differences_table(several)]
    text = "\n\n".join([*tables, origin_table(runs)])
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "table.md", text + "\n")
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


def _name(runs: Sequence[ReportedRun]) -> None:
    """Gives runs their groups and labels: those of a group name their seeds, if these differ."""
    for run, label in zip(runs, distinct_labels([run.domain.config for run in runs]), strict=True):
        run.group = run.label or label
    for run in runs:
        taken = {other.domain.config.seed for other in runs if other.group == run.group}
        run.label = f"{run.group} seed={run.domain.config.seed}" if len(taken) > 1 else run.group


def distinct_labels(configs: Sequence[RunConfig]) -> list[str]:
    """The runs' labels; those that share one also name the settings in which they differ.

    The seed is none, nor what results do not depend on. How tasks were evaluated, all runs name
    that have such a setting, if any differ in it; on how many tasks a table says in a column.
    """

    def differ(name: str, among: Sequence[RunConfig]) -> bool:
        return len({shown(getattr(config, name)) for config in among}) > 1

    labels = []
    for config in configs:
        namesakes = [other for other in configs if other.label == config.label]
        names = [field.name for field in dataclasses.fields(config)]
        protocol = {*config.EVALUATION}.difference(RunConfig.EVALUATION)
        settings = []
        for name in names:
            having = [other for other in configs if getattr(other, name) is not None]
            if name not in ("seed", *config.RESUMABLE) and (
                differ(name, namesakes)
                or (name in protocol and config in having and differ(name, having))
            ):
                settings.append(f"{name}={shown(getattr(config, name))}")
        labels.append(" ".join([config.label, *settings]))
    return labels


def comparison_table(rows: Sequence[tuple[str, pd.DataFrame]]) -> str:
    """One row per evaluation, Markdown: the metric after each step, and per mode after the last.

    Of more than four steps only some get a column. Where the runs take different numbers of them,
    as methods without any do, the last columns are after all that a run takes.

    Args:
      rows: label, and evaluation.csv or `seeds.over_seeds`.
    """
    every = pd.concat([evaluation for _, evaluation in rows])
    modes = list(every["mode"].unique())
    steps = sorted(every["step"].unique().tolist())
    if len(steps) > 4:
        steps = [step for step in steps if step in SHOWN_STEPS or step == steps[-1]]
    *earlier, last = [(step, step_name(step)) for step in steps]
    ends = [evaluation["step"].max() for _, evaluation in rows]
    at_the_end = last[1] if len({*ends}) == 1 else "after all steps"
    metric = every["metric"].iloc[0]
    names = [f"{metric} {name}, all" for _, name in earlier]
    names += [f"{metric} {at_the_end}, {mode}" for mode in modes]
    lines = []
    for (label, evaluation), end in zip(rows, ends, strict=True):
        by_key = evaluation.set_index(["step", "mode"])
        columns = [(step, "all") for step, _ in earlier] + [(end, mode) for mode in modes]
        cells = [_cell(by_key.loc[key]) if key in by_key.index else "" for key in columns]
        first = by_key.loc[(0, "all")]
        counts = [str(first[name]) for name in COUNTS if name in first]
        lines.append([label, *cells, *counts])
    counted = [heading for name, heading in COUNTS.items() if name in every]
    return markdown.table(["method", *names, *counted], lines)


def _cell(row: pd.Series) -> str:
    """`mean ± ci95`, and of several trainings the interval over tasks besides."""
    cell = f"{row['mean']:.4f} ± {row['ci95']:.4f}"
    return f"{cell} (tasks ± {row['ci95_tasks']:.4f})" if "ci95_tasks" in row else cell


def differences_table(groups: Sequence[seeds.Trainings]) -> str:
    """The row's method less the column's after all steps, paired by seed; Markdown."""
    scores = {group.label: group.after_all_steps() for group in groups}
    lines = []
    for ours in scores:
        line = [ours]
        for theirs in scores:
            mean, ci95, num_seeds = seeds.difference(scores[ours], scores[theirs])
            known = ours != theirs and num_seeds > 1
            line.append(f"{mean:+.4f} ± {ci95:.4f} ({num_seeds})" if known else "")
        lines.append(line)
    return markdown.table(["less", *scores], lines)


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
                *("" if at is None else str(at) for at in (run.trained_to, run.evaluated_at)),
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
