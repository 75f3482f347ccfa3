"""Several trainings of one method: means over seeds with Student's t intervals, and differences.

The interval over trainings says what another training would give; the one over the tasks within a
training (`evaluation.Row.ci95`) only what other tasks would. They are kept apart.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from mmaml_tf.reporting.domain import ReportedRun

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Trainings:
    """Runs that differ in nothing but the seed; or one run.

    Attributes:
      label: for tables and legends.
      runs: one per seed.
    """

    label: str
    runs: Sequence[ReportedRun]

    @property
    def evaluation(self) -> pd.DataFrame:
        """The run's evaluation.csv; of several, `over_seeds`."""
        if len(self.runs) == 1:
            return self.runs[0].evaluation
        return over_seeds([run.evaluation for run in self.runs])

    @property
    def metrics(self) -> list[pd.DataFrame]:
        """The metrics.csv of each."""
        return [run.metrics for run in self.runs]

    def after_all_steps(self) -> pd.Series:
        """The mean over all tasks after the last step, by seed."""
        means = {}
        for run in self.runs:
            rows = run.evaluation[run.evaluation["mode"] == "all"]
            means[run.domain.config.seed] = rows["mean"].iloc[-1]
        return pd.Series(means)


def half_width(values: npt.ArrayLike, axis: int = 0) -> npt.NDArray[np.float64]:
    """Of the 95% interval of a mean over trainings, t_{n-1} s / sqrt(n); NaN for a single one."""
    values = np.asarray(values, np.float64)
    num_seeds = values.shape[axis]
    if num_seeds < 2:
        return np.full(np.delete(values.shape, axis), np.nan)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, num_seeds - 1)
    return np.asarray(quantile * stats.sem(values, axis))[()]  # a number, of numbers


def over_seeds(evaluations: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The evaluation of several trainings as one, with the same keys.

    Its `mean` is over the trainings and `ci95` half the t interval over them; `ci95_tasks` is
    half the interval over tasks, the trainings' mean; `num_seeds` how many they are.
    """
    keys = ["step", "mode", "metric"]
    rows = pd.concat(evaluations).groupby(keys, sort=False)
    table = rows.agg(
        mean=("mean", "mean"),
        ci95=("mean", half_width),
        ci95_tasks=("ci95", "mean"),
        num_tasks=("num_tasks", "min"),
        num_seeds=("mean", "size"),
    )
    return table.reset_index()


def difference(ours: pd.Series, theirs: pd.Series) -> tuple[float, float, int]:
    """Of two methods, paired by seed: the mean difference, its t interval's half, of how many.

    The evaluations are on the same tasks, and the trainings of a seed drew the same ones, so that
    what tasks are easy or hard does not count.

    Args:
      ours, theirs: a score by seed. Seeds that only one has are left out.
    """
    paired = (ours - theirs).dropna()
    return float(paired.mean()), float(half_width(paired)), len(paired)


def grouped(runs: Sequence[ReportedRun]) -> list[Trainings]:
    """Runs of the same settings by different seeds together, all others alone; in order. A training
    that is not as far as another, or whose evaluation has other rows, is alone, too."""
    groups: dict[tuple, list[ReportedRun]] = {}
    for run in runs:
        groups.setdefault((run.group, _settings(run)), []).append(run)
    labels = [label for label, _ in groups]
    made = []
    for (label, _), members in groups.items():
        seeds = {run.domain.config.seed for run in members}
        if len(members) == len(seeds) and labels.count(label) == 1:
            made.append(Trainings(label, members))
        else:  # a run beside its copy, or runs that a name of the user's does not tell apart
            made += [Trainings(run.label, [run]) for run in members]
    return made


def _settings(run: ReportedRun) -> tuple:
    """What trainings have in common of which a mean is taken."""
    config = run.domain.config
    free = ("seed", *config.RESUMABLE)
    settings = dataclasses.asdict(config).items()
    measured = run.evaluation[["step", "mode", "metric"]].to_csv()
    chosen = ((name, str(value)) for name, value in settings if name not in free)
    return run.trained_to, measured, *chosen
