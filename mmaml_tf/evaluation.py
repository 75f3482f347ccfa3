"""Metrics on fresh tasks: per gradient step and mode, with 95% confidence intervals."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
import tensorflow as tf
from typing_extensions import TypedDict

from mmaml_tf.meta_learners import MetaLearner
from mmaml_tf.run_files import RunFileError, read_rows
from mmaml_tf.tasks import TaskBatch


class Row(TypedDict):
    """A row of evaluation.csv: the mean over so many tasks of a mode (or "all") after a step."""

    step: int
    mode: str
    metric: str
    mean: float
    ci95: float
    num_tasks: int


class TaskResults(NamedTuple):
    """What an evaluation measured of every task.

    Attributes:
      losses: query loss (or another score) after 0, 1, ..., S steps: [tasks, S + 1].
      modes: index of each task's mode: [tasks].
      embeddings: v [tasks, v_dim]; None without a task encoder.
    """

    losses: np.ndarray
    modes: np.ndarray
    embeddings: np.ndarray | None

    def first(self, num_tasks: int, num_modes: int = 1) -> Self:
        """The first so many tasks, equally many of each mode."""
        chosen = np.sort(
            np.concatenate(
                [
                    np.flatnonzero(self.modes == mode)[: num_tasks // num_modes]
                    for mode in range(num_modes)
                ]
            )
        )
        embeddings = None if self.embeddings is None else self.embeddings[chosen]
        return type(self)(self.losses[chosen], self.modes[chosen], embeddings)


def evaluate(
    learner: MetaLearner, sample: Callable[[tf.Tensor], TaskBatch], num_batches: int
) -> TaskResults:
    """Runs a learner on batches of fresh tasks.

    Args:
      learner: trained.
      sample: index -> batch of evaluation tasks, a pure function.
      num_batches: how many.
    """
    return measurement(learner.predict_step, "loss", sample, num_batches)


def measurement(
    predict: Callable[[TaskBatch], dict[str, tf.Tensor]],
    score: str,
    sample: Callable[[tf.Tensor], TaskBatch],
    num_batches: int,
) -> TaskResults:
    """`evaluate` by another score than the loss.

    Args:
      predict: batch of tasks -> `score` [tasks, S + 1], and `embedding` if there are any.
      score: the name of what counts among its results.
      sample: index -> batch of evaluation tasks, a pure function.
      num_batches: how many.
    """

    @tf.function
    def step(index: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        batch = sample(index)
        return predict(batch), batch.mode

    outcomes = (step(tf.constant(index)) for index in range(num_batches))
    results, modes = zip(*outcomes, strict=True)
    columns = {key: np.concatenate([r[key].numpy() for r in results]) for key in results[0]}
    return TaskResults(
        columns[score], np.concatenate([m.numpy() for m in modes]), columns.get("embedding")
    )


def read_evaluation(file: Path) -> pd.DataFrame:
    """An evaluation.csv.

    Raises:
      RunFileError: if it is none.
    """
    rows = read_rows(file, Row)
    if not any(row["step"] == 0 and row["mode"] == "all" for row in rows):
        raise RunFileError(f"{file} has no row of all tasks at step 0")
    return pd.DataFrame(rows)


def summarise(results: TaskResults, mode_names: Sequence[str], metric: str) -> pd.DataFrame:
    """The rows of evaluation.csv: for all tasks and for each mode, after every step.

    ci95 is 1.96 s / sqrt(n) over the n tasks of the row.
    """
    selections = [("all", np.ones(len(results.modes), bool))]
    if len(mode_names) > 1:
        selections += [(name, results.modes == index) for index, name in enumerate(mode_names)]
    rows = []
    for step in range(results.losses.shape[1]):
        for name, chosen in selections:
            values = results.losses[chosen, step].astype(np.float64)
            ci95 = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
            rows.append((step, name, metric, values.mean(), ci95, len(values)))
    return pd.DataFrame(rows, columns=list(Row.__annotations__))
