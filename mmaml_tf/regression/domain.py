"""The regression domain: wires tasks, networks, encoder, loss, figures and export together."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from mmaml_tf import evaluation, figures, supervised
from mmaml_tf.adaptation import InnerLoop
from mmaml_tf.checked_inputs import Input
from mmaml_tf.encoders import BiLSTMEncoder, ModulationNetwork, PairEncoder
from mmaml_tf.export import export_supervised
from mmaml_tf.few_shot import FewShotDomain, FewShotTasks
from mmaml_tf.layers.modulation import modulation_of
from mmaml_tf.meta_learners import MAML, MetaLearner, MultiMAML, MuMoMAML, mean_squared_error
from mmaml_tf.networks.models import mlp
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.regression.config import EVALUATION_BATCH, RegressionConfig
from mmaml_tf.regression.figures import Prediction, predictions
from mmaml_tf.report import ReportedRun
from mmaml_tf.tasks import TaskBatch, TaskStream

ENCODERS = {"lstm": BiLSTMEncoder, "pairs": PairEncoder}
METRIC = "mse"
LABEL = "mean squared error"
FIGURE_TASKS_PER_MODE = 3


class RegressionTasks(FewShotTasks, Protocol):
    """What this domain asks of a task distribution (`data.regression.Mixture` has it)."""

    @property
    def mode_names(self) -> list[str]:
        """The modes' names."""

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

    def build_learner(self) -> MetaLearner:
        """A learner with freshly initialised weights, compiled for training."""
        return self._build(self.config.num_shots)

    def _build(self, num_shots: int | None) -> MetaLearner:
        """`num_shots`: support points the fast weights are laid out for; None for any number."""
        config = self.config
        keras.utils.set_random_seed(config.seed)
        modulation = modulation_of(config)
        rows_seen = None
        if num_shots is not None and config.fast_weights == "auto":
            rows_seen = num_shots * config.inner_steps
        model = mlp(
            1,
            config.hidden_units,
            output_units=1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_transformation_size=config.bias_transformation_size,
        )
        network = TaskNetwork(
            model,
            modulation,
            rows_seen=rows_seen,
            num_groups=len(config.modes) if config.method == "multi_maml" else 1,
        )
        inner_loop = InnerLoop(
            config.inner_steps,
            config.inner_lr,
            config.first_order,
            config.inner_clip_norm,
            config.inner_clip_value,
        )
        parts = (network, inner_loop, mean_squared_error, config.meta_clip_norm)
        if modulation is not None:
            encoder = config.group("modulation")
            learner = MuMoMAML(
                *parts,
                encoder=ENCODERS[encoder["encoder"]](encoder["encoder_units"]),
                modulation_network=ModulationNetwork(modulation, network.site_units),
            )
        else:
            learner = (MultiMAML if config.method == "multi_maml" else MAML)(*parts)
        learner.build_for(x_dim=1, y_dim=1)
        supervised.compile_learner(learner, config, steps_per_call=20)
        return learner

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
                config.num_shots,
                config.eval_queries,
            )

        results = evaluation.evaluate(learner, sample, math.ceil(config.eval_tasks / batch))
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
            **self.prediction_figures({label: learner}),
        }
        if results.embeddings is not None and len(self.config.modes) > 1:
            drawn["task_embeddings"] = figures.embedding_map(
                results.embeddings, results.modes, self.config.modes
            )
        return drawn

    def prediction_figures(self, learners: Mapping[str, MetaLearner]) -> dict[str, Figure]:
        """Learners' predictions on the same evaluation tasks, overlaid: of a single one before
        and after adaptation, of several in a figure each ([MuMoMAML] Figure 2a and 2b)."""
        config = self.config
        draw = (
            TaskStream.EVALUATION,
            config.eval_seed,
            0,
            FIGURE_TASKS_PER_MODE * len(config.modes),
        )
        batch = self.tasks.sample(*draw, config.num_shots, num_queries=1)
        grid = np.linspace(-5.0, 5.0, 201, dtype=np.float32)
        curves = self.tasks.curves(*draw, grid).numpy()
        query_x = tf.tile(grid[None, :, None], [len(batch.mode), 1, 1])
        before, after = [], []
        for index, (label, learner) in enumerate(learners.items()):
            values = learner.adapt(batch.support, query_x).predictions.numpy()[..., 0]
            style = ":" if len(learners) == 1 else "-"
            before.append(Prediction(f"{label}, 0 steps", values[0], f"C{index}", style))
            adapted = f"{label}, {len(values) - 1} steps"
            after.append(Prediction(adapted, values[-1], f"C{index}", "-"))

        def figure(predicted: Sequence[Prediction]) -> Figure:
            return predictions(
                grid,
                curves,
                batch.support,
                self.config.modes,
                batch.mode.numpy(),
                predicted,
            )

        if len(learners) == 1:
            return {"predictions": figure(before + after)}
        return {"predictions_before": figure(before), "predictions": figure(after)}

    def report_figures(self, runs: Sequence[ReportedRun]) -> dict[str, Figure]:
        """Figures that compare runs, by file name."""
        drawn = comparison_figures(
            {run.label: run.metrics for run in runs}, {run.label: run.evaluation for run in runs}
        )
        return drawn | self.prediction_figures({run.label: run.learner() for run in runs})

    def export(self, learner: MetaLearner, path: Path) -> None:
        """Saves the learner as a SavedModel for any number of support points."""
        flexible = self._build(num_shots=None)
        flexible.set_weights(learner.get_weights())
        config, scalar = self.config, Input((1,))
        num_modes = len(config.modes) if config.method == "multi_maml" else None
        export_supervised(flexible, scalar, scalar, config.inner_steps, path, num_modes=num_modes)


def comparison_figures(
    metrics: Mapping[str, pd.DataFrame], evaluations: Mapping[str, pd.DataFrame]
) -> dict[str, Figure]:
    """The figures that need only the runs' tables, by file name."""
    return {
        "training": figures.training_curves(metrics, "loss", f"query {LABEL}"),
        "adaptation": figures.adaptation_curves(evaluations, LABEL, yscale="log"),
    }
