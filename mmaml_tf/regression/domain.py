"""The regression domain: wires tasks, network, encoder, loss and figures together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import keras
import pandas as pd
from matplotlib.figure import Figure

from mmaml_tf.config import RunConfig
from mmaml_tf.few_shot.domain import FewShotDomain, compared_by_kind
from mmaml_tf.learners.losses import mean_squared_error
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.networks.models import mlp
from mmaml_tf.regression.config import EVALUATION_BATCH, RegressionConfig
from mmaml_tf.regression.shown_tasks import ShownTasks
from mmaml_tf.regression.tasks import RegressionTasks
from mmaml_tf.reporting import evaluation, figures
from mmaml_tf.reporting.domain import ReportedRun

LABEL = "mean squared error"


class RegressionDomain(FewShotDomain[RegressionConfig, RegressionTasks]):
    """Few-shot regression.

    Args:
      config: of the run.
      tasks: the task distribution.
    """

    METRIC = "mse"
    SCORE = staticmethod(mean_squared_error)
    EVALUATION_BATCH = EVALUATION_BATCH
    STEPS_PER_CALL = 20

    def __init__(self, config: RegressionConfig, tasks: RegressionTasks):
        super().__init__(config, tasks)
        if self.learner_class.observes_task:
            self.tasks = tasks.told()

    def base_model(self) -> keras.Model:
        """An MLP from x to y."""
        return mlp(
            self.tasks.input_size,
            self.config.hidden_units,
            output_units=None if self.learner_class.takes_embedding else 1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_transformation_size=self.config.bias_transformation_size,
        )

    def learner_options(self) -> dict[str, Any]:
        """See `FewShotDomain`."""
        return dict(loss="mse")

    def arguments(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """See `FewShotDomain`."""
        return {
            **super().arguments(),
            "outputs": lambda: dict(num_outputs=1),
        }

    def run_figures(
        self, learner: MetaLearner, results: evaluation.TaskResults, metrics: pd.DataFrame
    ) -> dict[str, Figure]:
        """The figures of one run, by file name."""
        label = self.config.label
        drawn = training_figure({label: [metrics]})
        drawn |= adaptation_figure({label: self.summarise(results)})
        # Also with all support points in one half of the range ([MAML] Figure 2).
        for suffix, shown in (("", self._shown()), ("_one_sided", self._shown(one_sided=True))):
            made = shown.figures({label: shown.predictions(learner)})
            drawn |= {f"{name}{suffix}": figure for name, figure in made.items()}
        if results.embeddings is not None and len(self.config.modes) > 1:
            drawn["task_embeddings"] = figures.embedding_map(
                results.embeddings, results.modes, self.config.modes
            )
        return drawn

    def _shown(self, one_sided: bool = False) -> ShownTasks:
        return ShownTasks(self.tasks, self.config, one_sided)

    def report_figures(self, runs: Sequence[ReportedRun]) -> dict[str, Figure]:
        """Figures that compare runs, by file name; where they were evaluated with several K, those
        of each K."""

        def kind(config: RunConfig) -> str:
            return _kind(cast(RegressionConfig, config))

        # Evaluations with another K are of trainings that are there already.
        trained = [run for run in runs if not kind(run.domain.config)] or runs
        drawn = compared_by_kind(trained, kind, lambda metrics, _: training_figure(metrics))
        drawn |= compared_by_kind(runs, kind, lambda _, tables: adaptation_figure(tables))
        # An oracle's domain gives it other inputs.
        domains = {run.label: cast(RegressionDomain, run.domain) for run in runs}
        predicted = {
            run.label: domains[run.label]._shown().predictions(run.learner())
            for run in runs
            if run.has_weights and _tasks_of(domains[run.label].config) == _tasks_of(self.config)
        }
        return drawn | (self._shown().figures(predicted) if predicted else {})


def _kind(config: RegressionConfig) -> str:
    """What the labels and figures of evaluations with another K than the training's end with."""
    shots = config.shots_at_evaluation
    return "" if shots == config.num_shots else f"k{shots}"


def _tasks_of(config: RegressionConfig) -> tuple:
    """What the evaluation tasks of a domain depend on."""
    return config.eval_seed, config.shots_at_evaluation, config.eval_queries, config.noise_stddev


def training_figure(metrics: Mapping[str, Sequence[pd.DataFrame]]) -> dict[str, Figure]:
    """Training curves of every label's seeds, by file name."""
    return figures.training_curves("training", metrics, "loss", f"query {LABEL}")


def adaptation_figure(evaluations: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """Errors by gradient steps, by file name."""
    return {"adaptation": figures.adaptation_curves(evaluations, LABEL, yscale="log")}
