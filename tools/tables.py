"""The result tables of README.md and results/README.md, made from the evaluation.csv files there.

    python -m tools.tables

writes them; a test holds both texts to them. `tools.rows` has what they say.
"""

import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmaml_tf import methods
from mmaml_tf.reporting import markdown
from mmaml_tf.reporting.evaluation import read_evaluation
from mmaml_tf.reporting.seeds import over_seeds
from mmaml_tf.training.run_files import write_atomically
from mmaml_tf.training.run_folder import RunFolder
from tools import places, rows
from tools.row import Table, joined

NOT_RUN = "–"
# Trained with 10 points; the shots by which it is evaluated, and the steps that the papers show.
SINUSOID_SHOTS, SINUSOID_STEPS = {5: "k5", 10: "", 20: "k20"}, (1, 5, 10)


def runs_of(domain: str, label: str) -> list[Path]:
    """The folders in results/ of a row's trainings that were evaluated, by seed."""
    named = {
        int(match[1]): path.parent
        for path in places.results(domain).path.glob(f"{label}-seed*/evaluation.csv")
        if (match := re.fullmatch(rf"{re.escape(label)}-seed(\d+)", path.parent.name))
    }
    return [named[seed] for seed in sorted(named)]


@dataclass(frozen=True)
class Measured:
    """What the trainings of a row reached, as the cells of a table say it.

    Attributes:
      link: where it leads, within the repository.
      num_seeds: of how many trainings.
      shown: `mean ± ci95` by step. The interval is over the tasks of a single
        training, and over several trainings.
      over_tasks: half the interval over tasks within a training, likewise.
    """

    link: str
    num_seeds: int
    shown: dict[int, str]
    over_tasks: dict[int, str]

    def cell(self, *steps: int | None) -> str:
        """After these steps, None for the last, or after all if it does not take as many."""
        chosen = [max(self.shown) if step not in self.shown else step for step in steps]
        return f"[{_distinct(self.shown, chosen)}]({self.link}){self._seeds(chosen)}"

    def unlinked(self, step: int) -> str:
        """After a step, for a row that has the link and the number of seeds at its head; empty if
        there is none."""
        over_tasks = f" (tasks ± {self.over_tasks[step]})" if step in self.over_tasks else ""
        return self.shown[step] + over_tasks if step in self.shown else ""

    def _seeds(self, steps: list[int]) -> str:
        if self.num_seeds == 1:
            return ""
        return f" ({self.num_seeds} seeds; tasks ± {_distinct(self.over_tasks, steps)})"


def _distinct(texts: dict[int, str], steps: list[int]) -> str:
    return " / ".join(texts[step] for step in dict.fromkeys(steps))


def measured(
    domain: str, label: str, decimals: int, scale: float = 1.0, mode: str = "all"
) -> Measured | None:
    """A row's trainings, on tasks of a mode; None if there is none."""
    found = runs_of(domain, label)
    if not found:
        return None
    for path in found:
        RunFolder(path).evaluated_iteration()  # or evaluation.csv is not what its JSON describes
    evaluations = [read_evaluation(path / "evaluation.csv") for path in found]
    single = len(found) == 1
    table = evaluations[0] if single else over_seeds(evaluations)
    table = table[table["mode"] == mode]

    def texts(column: str) -> list[str]:
        return [f"{scale * value:.{decimals}f}" for value in table[column]]

    pairs = zip(texts("mean"), texts("ci95"), strict=True)
    target = found[0] if single else places.results(domain).path / "table.md"
    return Measured(
        target.relative_to(places.ROOT).as_posix(),
        len(found),
        dict(zip(table["step"], (f"{mean} ± {ci}" for mean, ci in pairs), strict=True)),
        {} if single else dict(zip(table["step"], texts("ci95_tasks"), strict=True)),
    )


def iterations(domain: str, label: str) -> str:
    """How many a row's trainings have taken: `15,000`, or from the fewest to the most."""
    folders = [places.kept(domain, path.name) for path in runs_of(domain, label)]
    counts = [folder.metrics.last_iteration() for folder in folders]
    return "–".join(f"{count:,}" for count in dict.fromkeys([min(counts), max(counts)]))


def regression(table: Table) -> str:
    """Before / after the inner steps; one number for methods without."""
    head = ["before / after 5 steps"]
    for place in table.places:
        modes = place.domain.removeprefix("regression_").removesuffix("mode")
        head += [f"{modes} modes, {place.papers}'s paper", f"{modes} modes, ours"]
    lines = []
    for row in table.rows:
        line = [row.name]
        for place in table.places:
            ours = measured(place.domain, row.at(place).label, 3)
            line += [row.papers.get(place.key, ""), ours.cell(0, None) if ours else NOT_RUN]
        lines.append(line)
    return markdown.table(head, lines)


def sinusoid(table: Table) -> str:
    """[MAML] Figure 3 and Table 2: one training, other numbers of points and steps."""
    (place,) = table.places
    columns = [
        (suffix, steps, f"K = {shots}, {steps} step{'s' * (steps > 1)}")
        for shots, suffix in SINUSOID_SHOTS.items()
        for steps in SINUSOID_STEPS
    ]
    lines = []
    for row in filter(lambda row: row.is_shown, table.rows):
        line = [row.name]
        for suffix, steps, name in columns:
            label = joined(row.at(place).label, suffix)
            ours = measured(place.domain, label, 3)
            cell = ""
            if ours and (steps in ours.shown or max(ours.shown) == 0):  # or it takes no steps
                cell = ours.cell(steps)
            line.append(_beside_paper(cell, row.papers.get(name)))
        lines.append(line)
    return markdown.table(["method", *(name for _, _, name in columns)], lines)


def returns(table: Table) -> str:
    """Mean returns in a reinforcement-learning domain, after every update; a row that was trained
    for other iterations than most says so."""
    (place,) = table.places
    found = [(row, measured(place.domain, row.at(place).label, 1)) for row in table.rows]
    steps = sorted({step for _, ours in found if ours for step in ours.shown})
    counts = {
        row.key: iterations(place.domain, row.at(place).label)
        for row, ours in found
        if ours and methods.of("rl")[row.method].is_trained
    }
    usual = statistics.mode(counts.values()) if counts else ""
    lines = []
    for row, ours in found:
        if ours:
            line = [f"[{row.name}]({ours.link})"]
            if ours.num_seeds > 1:
                line[0] += f", {ours.num_seeds} seeds"
            if counts.get(row.key, usual) != usual:
                line[0] += f", {counts[row.key]} iterations"
            for step in steps:
                cell, paper = ours.unlinked(step), row.papers.get(str(step))
                line.append(_beside_paper(cell, paper) if paper else cell)
            lines.append(line)
    return markdown.table(["method", *map(_updates, steps)], lines)


def _updates(step: int) -> str:
    if step > 0:
        return f"{step} update{'s' * (step > 1)}"
    return "after modulation" if step == 0 else "before modulation"


def accuracies(table: Table) -> str:
    """Accuracies in several settings, and the iterations behind them."""
    lines = []
    for row in table.rows:
        line = [row.name]
        for place in table.places:
            label = row.at(place).label
            ours = measured(place.domain, label, 2, 100.0)
            steps = place.steps if row.steps is None else row.steps
            cell = f"{ours.cell(steps)} ({iterations(place.domain, label)})" if ours else ""
            line.append(_beside_paper(cell, row.papers.get(place.key)))
        if {*line[1:]} != {NOT_RUN}:
            lines.append(line)
    settings = ["-".join(place.setting.split("-")[-2:]) for place in table.places]
    head = [text.replace("way-", "-way ").replace("shot", "-shot") for text in settings]
    return markdown.table(["accuracy in % (iterations)", *head], lines)


def images(table: Table) -> str:
    """Accuracies by mode, and of all, after the last step."""
    (place,) = table.places
    lines = []
    for row in table.rows:
        label = row.at(place).label
        line = [row.name]
        for mode in (*place.modes, "all"):
            ours = measured(place.domain, label, 2, 100.0, mode)
            line.append(ours.cell(None) if ours else NOT_RUN)
        lines.append(line)
    return markdown.table(["accuracy in %", *place.modes, "all"], lines)


def _beside_paper(cell: str, paper: str | None) -> str:
    cell = cell or NOT_RUN
    return f"{cell}; paper {paper}" if paper else cell


# What draws a table, by its name; the others' are of returns.
WRITERS: dict[str, Callable[[Table], str]] = {
    "sinusoid": sinusoid,
    "regression": regression,
    "omniglot": accuracies,
    "miniimagenet": accuracies,
    "images": images,
    "images_miniimagenet": images,
}


def updated(texts: Mapping[Path, str]) -> dict[Path, str]:
    """The documents, with the tables as they are now.

    Raises:
      ValueError: for a table with results that has no place in them, or for several places.
    """
    new = dict(texts)
    for name, table in rows.TABLES.items():
        made = WRITERS.get(name, returns)(table)
        found_in = 0
        for document, text in new.items():
            beside = document.parent.relative_to(places.ROOT).as_posix()
            lines = made if beside == "." else made.replace(f"]({beside}/", "](")
            marked = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
            new[document], found = re.subn(marked, rf"\g<1>{lines}\n\g<2>", text, flags=re.DOTALL)
            found_in += found
        if found_in != 1 and (found_in or _has_results(table)):
            raise ValueError(f"the texts have {found_in} places for the table {name}, not 1")
    return new


def _has_results(table: Table) -> bool:
    return any(runs_of(place.domain, training.label) for _, place, training in table.trainings())


def write() -> None:
    """Writes the tables into the documents."""
    for document, text in updated({path: path.read_text() for path in places.texts()}).items():
        write_atomically(document, text)


if __name__ == "__main__":
    write()
