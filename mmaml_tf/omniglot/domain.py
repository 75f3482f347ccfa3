"""The Omniglot domain: wires tasks, networks, encoder, loss, figures and export together."""

import math
from collections.abc import Callable, Mapping, Sequence
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
from mmaml_tf.encoders import ImageEncoder, ModulationNetwork
from mmaml_tf.export import export_supervised
from mmaml_tf.few_shot import FewShotDomain, FewShotTasks
from mmaml_tf.layers.modulation import modulation_of
from mmaml_tf.meta_learners import MAML, MetaLearner, MuMoMAML
from mmaml_tf.networks.models import conv_net, image_encoder, pixel_mlp
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.omniglot.classification import cross_entropy, step_accuracies
from mmaml_tf.omniglot.config import OmniglotConfig
from mmaml_tf.omniglot.figures import episodes
from mmaml_tf.report import ReportedRun
from mmaml_tf.tasks import TaskBatch, TaskStream

MODELS = {"conv": conv_net, "mlp": pixel_mlp}
METRIC = "accuracy"
VALIDATION = "validation_accuracy"
# Validations whose mean picks the model: the error of one is as large as what is left to gain.
PICKED_BY = 5
IMAGE_SHAPE = (28, 28, 1)
# Evaluations report every step up to this one at least.
REPORTED_STEPS = 10
# Tasks per call in validation and evaluation, to bound the memory it takes.
EVALUATION_BATCH = 50
FIGURE_TASKS = 3
FIGURE_ALPHABETS = 8
FIGURE_TASKS_PER_ALPHABET = 40


class OmniglotTasks(FewShotTasks, Protocol):
    """What this domain asks of a task distribution (`data.omniglot.OmniglotTasks` has it)."""

    def alphabet_tasks(
        self, seed: int, num_alphabets: int, tasks_each: int, num_shots: int
    ) -> tuple[TaskBatch, list[str]]:
        """Tasks of one alphabet each, `mode` says which, and the alphabets' names."""


class OmniglotDomain(FewShotDomain[OmniglotConfig, OmniglotTasks]):
    """Few-shot classification of handwritten characters.

    Args:
      config: of the run.
      tasks: the task distribution.
    """

    def build_learner(self) -> MetaLearner:
        """A learner with freshly initialised weights, compiled for training."""
        config = self.config
        keras.utils.set_random_seed(config.seed)
        modulation = modulation_of(config)
        model = MODELS[config.network](
            IMAGE_SHAPE,
            config.num_ways,
            config.filters,
            scale_shift=modulation is None or not modulation.scales_and_shifts,
        )
        network = TaskNetwork(
            model, modulation, support_statistics=config.bn_statistics == "support"
        )
        inner_loop = InnerLoop(
            config.inner_steps, config.inner_lr, config.first_order, config.inner_clip_norm
        )
        parts = (network, inner_loop, cross_entropy, config.meta_clip_norm)
        map_tasks = config.task_batching == "map"
        learner: MetaLearner
        if modulation is not None:
            encoder = config.group("modulation")
            learner = MuMoMAML(
                *parts,
                map_tasks=map_tasks,
                encoder=ImageEncoder(
                    image_encoder(
                        IMAGE_SHAPE, encoder["encoder_filters"], encoder["embedding_units"]
                    )
                ),
                modulation_network=ModulationNetwork(modulation, network.site_units),
            )
        else:
            learner = MAML(*parts, map_tasks=map_tasks)
        learner.build_parts((None, None, *IMAGE_SHAPE), (None, None, *IMAGE_SHAPE))
        supervised.compile_learner(learner, config)
        return learner

    def evaluate(self, learner: MetaLearner) -> evaluation.TaskResults:
        """Measures query accuracy on `config.eval_tasks` fresh tasks of unseen characters."""
        config = self.config
        measure = step_accuracies(learner, max(REPORTED_STEPS, config.eval_steps))
        batches = self._batches(TaskStream.EVALUATION, config.eval_seed, config.eval_tasks)
        return evaluation.measurement(measure, "score", *batches).first(config.eval_tasks)

    def validation(self, learner: MetaLearner) -> supervised.Validation:
        """Mean accuracy after `config.eval_steps` steps, always on the same validation tasks."""
        config = self.config
        num_tasks = config.validation_tasks
        sample, num_batches = self._batches(TaskStream.VALIDATION, config.split_seed, num_tasks)
        measure = step_accuracies(learner, config.eval_steps)

        @tf.function
        def score() -> tf.Tensor:
            scores = tf.map_fn(
                lambda index: measure(sample(index))["score"][:, -1],
                tf.range(num_batches),
                fn_output_signature=learner.compute_dtype,
                parallel_iterations=1,
            )
            return tf.reduce_mean(tf.reshape(scores, [-1])[:num_tasks])

        return supervised.Validation(VALIDATION, score, PICKED_BY)

    def _batches(
        self, stream: TaskStream, seed: int, num_tasks: int
    ) -> tuple[Callable[[tf.Tensor], TaskBatch], int]:
        """index -> a batch of the stream's tasks, and how many batches have `num_tasks`."""
        config = self.config
        batch_size = min(num_tasks, EVALUATION_BATCH)

        def sample(index: tf.Tensor) -> TaskBatch:
            return self.tasks.sample(
                stream, seed, index, batch_size, config.num_shots, config.eval_queries
            )

        return sample, math.ceil(num_tasks / batch_size)

    def summarise(self, results: evaluation.TaskResults) -> pd.DataFrame:
        """The rows of evaluation.csv."""
        return evaluation.summarise(results, ["all"], METRIC)

    def run_figures(
        self, learner: MetaLearner, results: evaluation.TaskResults, metrics: pd.DataFrame
    ) -> dict[str, Figure]:
        """The figures of one run, by file name."""
        label = self.config.label
        drawn = {
            **comparison_figures({label: metrics}, {label: self.summarise(results)}),
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
        batch = self.tasks.sample(
            TaskStream.EVALUATION,
            config.eval_seed,
            0,
            FIGURE_TASKS,
            config.num_shots,
            config.eval_queries,
        )
        outcome = learner.adapt(batch.support, batch.query.x, num_steps=config.eval_steps)
        probabilities = tf.nn.softmax(outcome.predictions).numpy()[:, :, :: config.eval_queries]
        return episodes(
            batch.support.x.numpy()[:, :: config.num_shots, ..., 0],
            batch.query.x.numpy()[:, :: config.eval_queries, ..., 0],
            probabilities[0],
            probabilities[-1],
            config.eval_steps,
        )

    def embedding_figure(self, learner: MetaLearner) -> Figure | None:
        """t-SNE of the embeddings of tasks of one alphabet each; None with too few alphabets."""
        batch, alphabets = self.tasks.alphabet_tasks(
            self.config.eval_seed,
            FIGURE_ALPHABETS,
            FIGURE_TASKS_PER_ALPHABET,
            self.config.num_shots,
        )
        if len(alphabets) < 2:
            return None
        _, embedding = learner.modulate(batch.support)
        names = [alphabet.replace("_", " ") for alphabet in alphabets]
        return figures.embedding_map(np.asarray(embedding), batch.mode.numpy(), names)

    def report_figures(self, runs: Sequence[ReportedRun]) -> dict[str, Figure]:
        """Figures that compare runs, by file name."""
        return comparison_figures(
            {run.label: run.metrics for run in runs}, {run.label: run.evaluation for run in runs}
        )

    def export(self, learner: MetaLearner, path: Path) -> None:
        """Saves the learner as a SavedModel for any number of images.

        They are float32 in 0..1 (1 is ink), labels int32; predictions are class probabilities.
        """
        labels = Input(dtype=tf.int32, below=self.config.num_ways, meaning="the labels")
        export_supervised(
            learner,
            Input(IMAGE_SHAPE),
            labels,
            self.config.eval_steps,
            path,
            activation=tf.nn.softmax,
        )


def comparison_figures(
    metrics: Mapping[str, pd.DataFrame], evaluations: Mapping[str, pd.DataFrame]
) -> dict[str, Figure]:
    """The figures that need only the runs' tables, by file name."""
    # Errors, on logarithmic axes: accuracies would all lie at the upper edge.
    errors = {label: table.assign(error=1 - table[VALIDATION]) for label, table in metrics.items()}
    tests = {label: table.assign(mean=1 - table["mean"]) for label, table in evaluations.items()}
    return {
        "training": figures.training_curves(metrics, "loss", "query cross-entropy"),
        "validation": figures.training_curves(errors, "error", "validation error (1 - accuracy)"),
        "adaptation": figures.adaptation_curves(tests, "error (1 - accuracy)", yscale="log"),
    }
