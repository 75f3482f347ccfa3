"""The classification domain: wires tasks, networks, encoder, loss, figures and export together."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, cast

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from mmaml_tf import networks
from mmaml_tf.classification.config import ClassificationConfig
from mmaml_tf.classification.figures import episodes
from mmaml_tf.few_shot.domain import FewShotDomain, FewShotTasks, compared_by_kind
from mmaml_tf.layers.modulation import modulation_named
from mmaml_tf.learners.losses import accuracy
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.reporting import evaluation, figures
from mmaml_tf.reporting.domain import ReportedRun
from mmaml_tf.tasks import Draw, TaskBatch, TaskStream
from mmaml_tf.training.callbacks import Validation

VALIDATION = "validation_accuracy"
# Validations whose mean picks the model: the error of one is as large as what is left to gain.
PICKED_BY = 5
# Evaluations report every step up to this one at least.
REPORTED_STEPS = 10
FIGURE_TASKS = 3
FIGURE_GROUPS = 8
FIGURE_TASKS_PER_GROUP = 40


class ClassificationTasks(FewShotTasks, Protocol):
    """What this domain asks of a task distribution (`data.omniglot.OmniglotTasks` has it)."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    @property
    def num_classes(self) -> int:
        """Training classes."""

    def labelled_by_class(self) -> Self:
        """The same tasks; the labels of the training tasks are 0 to `num_classes` - 1."""

    def grouped_tasks(
        self, seed: int, num_groups: int, tasks_each: int, num_shots: int
    ) -> tuple[TaskBatch, list[str]]:
        """Tasks of one group of classes each (an alphabet, say), `mode` says which, and the
        groups' names."""


class ClassificationDomain(FewShotDomain[ClassificationConfig, ClassificationTasks]):
    """Few-shot classification of images.

    Args:
      config: of the run.
      tasks: the task distribution.
    """

    METRIC = "accuracy"
    SCORE = staticmethod(accuracy)
    EVALUATION_BATCH = 50

    def __init__(self, config: ClassificationConfig, tasks: ClassificationTasks):
        super().__init__(config, tasks)
        if self.learner_class.trains_on_classes:
            self.tasks = tasks.labelled_by_class()

    def base_model(self) -> keras.Model:
        """A network from images to logits, convolutional or not."""
        config = self.config
        # Beside a modulation that scales and shifts, batch norm needs no scale and shift.
        modulation = None if config.modulation is None else modulation_named(config.modulation)
        return networks.of(config.KIND)[config.network].build(
            self.tasks.image_shape,
            None if self.learner_class.takes_embedding else config.num_ways,
            config.filters,
            scale_shift=modulation is None or not modulation.scales_and_shifts,
        )

    def learner_options(self) -> dict[str, Any]:
        """See `FewShotDomain`."""
        config = self.config
        return dict(
            loss="cross_entropy",
            task_batching=config.task_batching,
            bn_statistics=config.bn_statistics,
        )

    def arguments(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """See `FewShotDomain`."""
        return {
            **super().arguments(),
            "ways": lambda: dict(num_ways=self.config.num_ways),
            "outputs": lambda: dict(num_outputs=self.config.num_ways),
            "classes": lambda: dict(num_classes=self.tasks.num_classes),
            "inner_loop": lambda: dict(fast_weights="materialised", **self.as_given("inner_loop")),
        }

    @property
    def reported_steps(self) -> int | None:
        """As many as the run has for it, and no fewer than papers report."""
        if not self.config.has("inner_loop"):
            return None
        return max(REPORTED_STEPS, self.config.eval_steps or 0)

    def validation(self, learner: MetaLearner) -> Validation:
        """Mean accuracy after `config.eval_steps` steps, always on the same validation tasks."""
        config = self.config
        num_tasks, num_modes = config.validation_tasks, len(config.mode_names)
        sample, num_batches = self.batches(
            TaskStream.VALIDATION, config.split_seed, num_tasks, config.num_shots
        )

        scored = evaluation.scorer(learner, accuracy, config.eval_steps)

        def last_scores(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            batch = sample(index)
            scores, _ = scored(batch)
            return scores[:, -1], batch.mode

        @tf.function(autograph=False)
        def score() -> tf.Tensor:
            scores, modes = tf.map_fn(
                last_scores,
                tf.range(num_batches),
                fn_output_signature=(learner.compute_dtype, tf.int32),
                parallel_iterations=1,
            )
            scores, modes = tf.reshape(scores, [-1]), tf.reshape(modes, [-1])
            # The last batch may have more tasks than are left.
            of_modes = [
                tf.boolean_mask(scores, modes == mode)[: num_tasks // num_modes]
                for mode in range(num_modes)
            ]
            return tf.reduce_mean(tf.stack(of_modes))

        return Validation(VALIDATION, score, PICKED_BY)

    def run_figures(
        self, learner: MetaLearner, results: evaluation.TaskResults, metrics: pd.DataFrame
    ) -> dict[str, Figure]:
        """The figures of one run, by file name."""
        label = self.config.label
        drawn = {
            **comparison_figures({label: [metrics]}, {label: self.summarise(results)}),
            "episodes": self.episode_figure(learner),
        }
        if results.embeddings is not None:
            embeddings = self.embedding_figure(learner)
            if embeddings is not None:
                drawn["task_embeddings"] = embeddings
        return drawn

    def episode_figure(self, learner: MetaLearner) -> Figure:
        """Evaluation tasks with the learner's predictions."""
        config = self.config
        number = FIGURE_TASKS * len(config.mode_names)
        draw = Draw(TaskStream.EVALUATION, config.eval_seed, 0, number)
        batch = self.tasks.sample(draw, config.shots_at_evaluation, config.eval_queries)
        outcome = learner.after_each_step(batch.support, batch.query.x, config.eval_steps)
        probabilities = tf.nn.softmax(outcome.predictions).numpy()[:, :, :: config.eval_queries]
        return episodes(
            _shown(batch.support.x[:, :: config.shots_at_evaluation]),
            _shown(batch.query.x[:, :: config.eval_queries]),
            {step: probabilities[step] for step in (0, len(probabilities) - 1)},
        )

    def embedding_figure(self, learner: MetaLearner) -> Figure | None:
        """t-SNE of the embeddings of tasks of one group each; None with too few groups."""
        batch, groups = self.tasks.grouped_tasks(
            self.config.eval_seed,
            FIGURE_GROUPS,
            FIGURE_TASKS_PER_GROUP,
            self.config.shots_at_evaluation,
        )
        if len(groups) < 2:
            return None
        _, embedding = learner.modulate(batch.support)
        names = [group.replace("_", " ") for group in groups]
        return figures.embedding_map(np.asarray(embedding), batch.mode.numpy(), names)

    def report_figures(self, runs: Sequence[ReportedRun]) -> dict[str, Figure]:
        """Figures that compare runs, by file name; where there are several kinds of tasks, those
        of each kind."""
        return compared_by_kind(
            runs, lambda config: cast(ClassificationConfig, config).setting, comparison_figures
        )

    def export(self, learner: MetaLearner, path: Path) -> None:
        """Saves the learner as a SavedModel of class probabilities, for any number of images."""
        learner.export(path, activation="softmax", num_steps=self.config.eval_steps)


def _shown(images: tf.Tensor) -> np.ndarray:
    """Gray images without their one channel, as Matplotlib takes them."""
    return images.numpy()[..., 0] if images.shape[-1] == 1 else images.numpy()


def comparison_figures(
    metrics: Mapping[str, Sequence[pd.DataFrame]], evaluations: Mapping[str, pd.DataFrame]
) -> dict[str, Figure]:
    """The figures that need only the runs' tables, by file name."""
    # Errors, on logarithmic axes: accuracies would all lie at the upper edge.
    errors = {
        label: [table.assign(error=1 - table[VALIDATION]) for table in trainings if len(table)]
        for label, trainings in metrics.items()
    }
    tests = {label: table.assign(mean=1 - table["mean"]) for label, table in evaluations.items()}
    validation_label = "validation error (1 - accuracy)"
    return {
        **figures.training_curves("training", metrics, "loss", "query cross-entropy"),
        **figures.training_curves("validation", errors, "error", validation_label),
        "adaptation": figures.adaptation_curves(tests, "error (1 - accuracy)", yscale="log"),
    }
