"""Metrics on fresh tasks: per gradient step and mode, with 95% confidence intervals."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import pandas as pd
import tensorflow as tf
from pydantic import Field
from typing_extensions import TypedDict

from mmaml_tf.config import LIMIT, MAX_STEPS
from mmaml_tf.learners.losses import TaskLoss
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.tasks import TaskBatch
from mmaml_tf.training.run_files import RunFileError, digest, read_rows
from mmaml_tf.training.run_folder import RunFolder
from mmaml_tf.training.storage import replacing

# The step of rows that say what a modulated learner does before its modulation.
BEFORE_MODULATION = -1


class Row(TypedDict):
    """A row of evaluation.csv: the mean over so many tasks of a mode (or "all") after a step."""

    step: Annotated[int, Field(ge=BEFORE_MODULATION, le=MAX_STEPS)]
    mode: str
    metric: str
    mean: float
    ci95: float
    num_tasks: Annotated[int, Field(ge=1, lt=LIMIT)]


class TaskResults(NamedTuple):
    """What an evaluation measured of every task.

    Attributes:
      scores: a loss, accuracy or return after 0, 1, ..., S steps: [tasks, S + 1].
      modes: index of each task's mode: [tasks].
      embeddings: v [tasks, v_dim]; None without a task encoder.
      unmodulated: the score before modulation, if that was measured: [tasks].
    """

    scores: np.ndarray
    modes: np.ndarray
    embeddings: np.ndarray | None
    unmodulated: np.ndarray | None = None

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
        of_all = (None if part is None else part[chosen] for part in self[2:])
        return type(self)(self.scores[chosen], self.modes[chosen], *of_all)


def measure(
    learner: MetaLearner,
    score: TaskLoss,
    sample: Callable[[tf.Tensor], TaskBatch],
    num_batches: int,
    num_steps: int | None = None,
) -> TaskResults:
    """Scores a learner on batches of fresh tasks.

    Args:
      learner: trained.
      score: (targets, predictions) -> each task's score.
      sample: index -> batch of evaluation tasks, a pure function.
      num_batches: how many.
      num_steps: S; as in training by default.
    """

    scored = scorer(learner, score, num_steps)

    # As in Keras's `fit`, nothing here needs AutoGraph, which takes seconds to rewrite all code.
    @tf.function(autograph=False)
    def measured(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor]:
        batch = sample(index)
        return *scored(batch), batch.mode

    outcomes = [measured(tf.constant(index)) for index in range(num_batches)]
    scores, embeddings, modes = zip(*outcomes, strict=True)
    return TaskResults(
        np.concatenate(scores),
        np.concatenate(modes),
        None if embeddings[0] is None else np.concatenate(embeddings),
    )


def scorer(
    learner: MetaLearner, score: TaskLoss, num_steps: int | None = None
) -> Callable[[TaskBatch], tuple[tf.Tensor, tf.Tensor | None]]:
    """`step_scores` of a batch of tasks, compiled as the learner's meta-step is."""
    return tf.function(
        lambda batch: step_scores(learner, score, batch, num_steps),
        jit_compile=learner.jit_compile or None,
        autograph=False,
    )


def step_scores(
    learner: MetaLearner, score: TaskLoss, batch: TaskBatch, num_steps: int | None = None
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Every task's score on its queries after 0, 1, ..., S steps, [tasks, S + 1], and v."""
    outcome = learner.after_each_step(batch.support, batch.query.x, num_steps)
    scores = [score(batch.query.y, predicted) for predicted in tf.unstack(outcome.predictions)]
    return tf.stack(scores, 1), outcome.embedding


def read_evaluation(file: Path) -> pd.DataFrame:
    """An evaluation.csv.

    Raises:
      RunFileError: if it is none.
    """
    rows = read_rows(file, Row)
    if not any(row["step"] == 0 and row["mode"] == "all" for row in rows):
        raise RunFileError(f"{file} has no row of all tasks at step 0")
    if len({(row["step"], row["mode"]) for row in rows}) < len(rows):
        raise RunFileError(f"{file} has two rows of the same step and mode")
    if any(row["ci95"] < 0 for row in rows):  # of tasks that diverged it is NaN
        raise RunFileError(f"{file} has a ci95 below 0")
    if len({row["metric"] for row in rows}) > 1:
        raise RunFileError(f"{file} has several metrics")
    table = pd.DataFrame(rows)
    steps, modes = table["step"].unique(), table["mode"].unique()
    if len(rows) < len(steps) * len(modes) or steps.tolist() != [*range(steps[0], steps[-1] + 1)]:
        raise RunFileError(f"{file} has not a row of every step and mode, in order")
    return table


def write_evaluation(folder: RunFolder, table: pd.DataFrame, origin: dict[str, Any]) -> None:
    """Writes evaluation.csv, where what diverged is nan, and evaluation.json: where it comes from.

    The latter has a digest, so that no other numbers pass for those that it describes.

    Raises:
      RunError: if the disk is full; what was there stays.
    """
    text = table.to_csv(index=False, na_rep="nan")
    described = json.dumps(origin | {"digest": digest(text)}, indent=1)
    with (
        replacing(folder.evaluation_file, len(text)) as numbers,
        replacing(folder.evaluation_origin_file, len(described)) as source,
    ):
        numbers.write_text(text, encoding="utf-8")
        source.write_text(described + "\n", encoding="utf-8")


def step_name(step: int) -> str:
    """What a row's step is, in words."""
    if step == BEFORE_MODULATION:
        return "before modulation"
    return f"after {step} step{'s' * (step != 1)}"


def summarise(results: TaskResults, mode_names: Sequence[str], metric: str) -> pd.DataFrame:
    """The rows of evaluation.csv: for all tasks and for each mode, before and after every step.

    ci95 is 1.96 s / sqrt(n) over the n tasks of a mode. As each mode has its fixed share of the
    tasks, that of all is of the weighted sum of the modes' means: how far apart they are is no
    matter of chance, and not in it.
    """
    scores = dict(enumerate(results.scores.T))
    if results.unmodulated is not None:
        scores = {BEFORE_MODULATION: results.unmodulated} | scores
    shares = np.bincount(results.modes, minlength=len(mode_names)) / len(results.modes)
    rows: list[tuple[Any, ...]] = []
    for step, of_tasks in scores.items():
        values = of_tasks.astype(np.float64)
        of_modes = [_mean(values[results.modes == index]) for index in range(len(mode_names))]
        ci95 = np.linalg.norm(shares * [ci for _, ci, _ in of_modes])
        rows.append((step, "all", metric, values.mean(), ci95, len(values)))
        if len(mode_names) > 1:
            named = zip(mode_names, of_modes, strict=True)
            rows += [(step, name, metric, *of_mode) for name, of_mode in named]
    return pd.DataFrame(rows, columns=list(Row.__annotations__))


def _mean(values: np.ndarray) -> tuple[float, float, int]:
    return values.mean(), 1.96 * values.std(ddof=1) / np.sqrt(len(values)), len(values)
