"""The regression domain: wires tasks, network, encoder, loss and figures together."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from mmaml_tf import encoders, methods
from mmaml_tf.few_shot.domain import FewShotDomain, FewShotTasks
from mmaml_tf.learners.losses import mean_squared_error
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.networks.models import mlp
from mmaml_tf.regression.config import EVALUATION_BATCH, RegressionConfig
from mmaml_tf.regression.figures import Prediction, predictions
from mmaml_tf.reporting import evaluation, figures
from mmaml_tf.reporting.report import ReportedRun
from mmaml_tf.tasks import TaskBatch, TaskStream

METRIC = "mse"
LABEL = "mean squared error"
FIGURE_TASKS_PER_MODE = 3
GRID = np.linspace(-5.0, 5.0, 201, dtype=np.float32)


class RegressionTasks(FewShotTasks, Protocol):
    """What this domain asks of a task distribution (`data.regression.Mixture` has it)."""

    @property
    def mode_names(self) -> list[str]:
        """The modes' names."""

    @property
    def input_size(self) -> int:
        """Numbers in an x."""

    def told(self) -> "RegressionTasks":
        """The same tasks, whose inputs say which function it is."""

    def grid(
        self,
        stream: TaskStream,
        seed: int,
        iteration: int | tf.Tensor,
        num_tasks: int,
        x: tf.Tensor,
    ) -> tf.Tensor:
        """Those tasks' inputs at the points x [N]: [tasks, N, input_size]."""

    def curves(
        self,
        stream: TaskStream,
        seed: int,
        iteration: int | tf.Tensor,
        num_tasks: int,
        x: tf.Tensor,
    ) -> tf.Tensor:
        """The noise-free functions of those tasks."""


class RegressionDomain(FewShotDomain[RegressionConfig, RegressionTasks]):
    """Few-shot regression.

    Args:
      config: of the run.
      tasks: the task distribution.
    """

    STEPS_PER_CALL = 20

    def __init__(self, config: RegressionConfig, tasks: RegressionTasks):
        learner = methods.of(config.KIND)[config.method].learner
        super().__init__(config, tasks.told() if learner.observes_task else tasks)

    def base_model(self) -> keras.Model:
        """An MLP from x to y."""
        return mlp(
            self.tasks.input_size,
            self.config.hidden_units,
            output_units=1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_transformation_size=self.config.bias_transformation_size,
        )

    def learner_options(self) -> dict[str, Any]:
        """See `FewShotDomain`."""
        return dict(loss="mse")

    def method_settings(self, group: str) -> dict[str, Any]:
        """See `FewShotDomain`."""
        if group == "modes":
            return dict(num_modes=len(self.config.modes))
        chosen = super().method_settings(group)
        if group != "modulation":
            return chosen
        encoder = encoders.of(self.config.KIND)[chosen["encoder"]]
        return dict(modulation=chosen["modulation"], encoder=encoder(chosen["encoder_units"]))

    def evaluate(self, learner: MetaLearner) -> evaluation.TaskResults:
        """Measures the learner on `config.eval_tasks` fresh tasks."""
        config = self.config
        num_modes = len(config.modes)
        batch = min(config.eval_tasks, EVALUATION_BATCH // num_modes * num_modes)

        def sample(index: tf.Tensor) -> TaskBatch:
            return self.tasks.sample(
                TaskStream.EVALUATION,
                config.eval_seed,
                index,
                batch,
                config.shots_at_evaluation,
                config.eval_queries,
            )

        num_batches = math.ceil(config.eval_tasks / batch)
        results = evaluation.measure(
            learner, mean_squared_error, sample, num_batches, config.eval_steps
        )
        return results.first(config.eval_tasks, num_modes)

    def summarise(self, results: evaluation.TaskResults) -> pd.DataFrame:
        """The rows of evaluation.csv."""
        return evaluation.summarise(results, self.config.modes, METRIC)

    def run_figures(
        self, learner: MetaLearner, results: evaluation.TaskResults, metrics: pd.DataFrame
    ) -> dict[str, Figure]:
        """The figures of one run, by file name."""
        label = self.config.label
        drawn = {
            **comparison_figures({label: metrics}, {label: self.summarise(results)}),
            **self.prediction_figures({label: self.curve_predictions(learner)}),
        }
        if results.embeddings is not None and len(self.config.modes) > 1:
            drawn["task_embeddings"] = figures.embedding_map(
                results.embeddings, results.modes, self.config.modes
            )
        return drawn

    @property
    def _shown_tasks(self) -> tuple[TaskStream, int, int, int]:
        """The evaluation tasks of figures."""
        number = FIGURE_TASKS_PER_MODE * len(self.config.modes)
        return TaskStream.EVALUATION, self.config.eval_seed, 0, number

    def _shown(self) -> TaskBatch:
        return self.tasks.sample(*self._shown_tasks, self.config.shots_at_evaluation, num_queries=1)

    def curve_predictions(self, learner: MetaLearner) -> np.ndarray:
        """A learner's predictions on GRID in the shown tasks, [S + 1, tasks, N]."""
        batch = self._shown()
        query_x = self.tasks.grid(*self._shown_tasks, GRID)
        outcome = learner.after_each_step(batch.support, query_x, self.config.eval_steps)
        return outcome.predictions.numpy()[..., 0]

    def prediction_figures(self, predicted: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """`curve_predictions` by label, overlaid: of a single learner before and after adaptation,
        of several in a figure each ([MuMoMAML] Figure 2a and 2b)."""
        batch = self._shown()
        curves = self.tasks.curves(*self._shown_tasks, GRID).numpy()
        before, after = [], []
        for index, (label, values) in enumerate(predicted.items()):
            style = ":" if len(predicted) == 1 else "-"
            before.append(Prediction(f"{label}, 0 steps", values[0], f"C{index}", style))
            adapted = f"{label}, {len(values) - 1} steps"
            after.append(Prediction(adapted, values[-1], f"C{index}", "-"))

        def figure(predicted: Sequence[Prediction]) -> Figure:
            return predictions(
                GRID,
                curves,
                batch.support,
                self.config.modes,
                batch.mode.numpy(),
                predicted,
            )

        if len(predicted) == 1:
            return {"predictions": figure(before + after)}
        return {"predictions_before": figure(before), "predictions": figure(after)}

    def report_figures(self, runs: Sequence[ReportedRun]) -> dict[str, Figure]:
        """Figures that compare runs, by file name."""
        drawn = comparison_figures(
            {run.label: run.metrics for run in runs}, {run.label: run.evaluation for run in runs}
        )
        # An oracle's domain gives it other inputs.
        domains = {
            run.label: (cast(RegressionDomain, run.domain), run.learner())
            for run in runs
            if run.has_weights
        }
        if not domains:
            return drawn
        return drawn | self.prediction_figures(
            {
                label: domain.curve_predictions(learner)
                for label, (domain, learner) in domains.items()
            }
        )


def comparison_figures(
    metrics: Mapping[str, pd.DataFrame], evaluations: Mapping[str, pd.DataFrame]
) -> dict[str, Figure]:
    """The figures that need only the runs' tables, by file name."""
    return {
        "training": figures.training_curves(metrics, "loss", f"query {LABEL}"),
        "adaptation": figures.adaptation_curves(evaluations, LABEL, yscale="log"),
    }
