"""What the supervised domains share: learners by the run's method, and tasks to train on."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import keras
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from mmaml_tf import encoders, methods
from mmaml_tf.config import RunConfig
from mmaml_tf.few_shot.config import FewShotConfig
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.reporting import evaluation, seeds
from mmaml_tf.reporting.domain import ReportedRun
from mmaml_tf.tasks import Draw, TaskBatch, TaskStream
from mmaml_tf.training import fit
from mmaml_tf.training.callbacks import Validation
from mmaml_tf.training.run_folder import RunFolder


class FewShotTasks(Protocol):
    """What every supervised domain asks of its task distribution."""

    def sample(self, draw: Draw, num_shots: int, num_queries: int) -> TaskBatch:
        """A batch of tasks, a pure function of its arguments."""


ConfigT = TypeVar("ConfigT", bound=FewShotConfig)
TasksT = TypeVar("TasksT", bound=FewShotTasks)


class FewShotDomain(ABC, Generic[ConfigT, TasksT]):
    """Base class of the supervised domains.

    Args:
      config: of the run.
      tasks: the task distribution.
    """

    # What evaluation.csv has of every task, and how it is found.
    METRIC: ClassVar[str]
    SCORE: "ClassVar[staticmethod[[tf.Tensor, tf.Tensor], tf.Tensor]]"
    # Tasks per call in validation and evaluation, at most, to bound the memory it takes.
    EVALUATION_BATCH: ClassVar[int]
    # Meta-steps per call into TensorFlow, at most.
    STEPS_PER_CALL: ClassVar[int] = 1

    def __init__(self, config: ConfigT, tasks: TasksT):
        self.config = config
        self.tasks = tasks

    @property
    def learner_class(self) -> type[MetaLearner]:
        """Of the run's method; of one that a plain function builds, what all have in common."""
        builder = methods.of(self.config.KIND)[self.config.method].learner
        return builder if isinstance(builder, type) else MetaLearner

    def build_learner(self) -> MetaLearner:
        """A learner with freshly initialised weights, compiled for training."""
        config = self.config
        keras.utils.set_random_seed(config.seed)
        method = methods.of(config.KIND)[config.method]
        settings = [self.method_settings(group) for group in sorted(method.settings)]
        learner = method.learner(
            self.base_model(),
            meta_clip_norm=config.meta_clip_norm,
            meta_clip_value=config.meta_clip_value,
            **self.learner_options(),
            **{name: value for group in settings for name, value in group.items()},
        )
        fit.compile_learner(learner, config, self.STEPS_PER_CALL)
        return learner

    @abstractmethod
    def base_model(self) -> keras.Model:
        """The base network, with freshly initialised weights."""

    @abstractmethod
    def learner_options(self) -> dict[str, Any]:
        """What a learner of the domain is told besides: loss, and how it computes."""

    def method_settings(self, group: str) -> dict[str, Any]:
        """The arguments that a method gets for a group of settings that it has.

        Raises:
          ValueError: for a group that is not there.
        """
        made = self.arguments()
        if group in made:
            return made[group]()
        if group not in self.config.GROUPS:
            known = sorted({*made, *self.config.GROUPS})
            raise ValueError(
                f"SETTINGS of {self.config.method}: {group!r} is none of {', '.join(known)}"
            )
        return self.as_given(group)

    def as_given(self, group: str) -> dict[str, Any]:
        """A group's settings as they are, but for what the evaluation is told."""
        settings = self.config.group(group)
        return {name: value for name, value in settings.items() if name != "eval_steps"}

    def arguments(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """What a method gets for those groups whose arguments are not the settings as they are."""
        return {
            "modes": lambda: dict(num_modes=len(self.config.mode_names)),
            "modulation": self._modulation,
        }

    def _modulation(self) -> dict[str, Any]:
        # In the order of the config's group; what follows the encoder are its sizes.
        modulation, heads, encoder, *sizes = self.as_given("modulation").values()
        chosen = encoders.of(self.config.KIND)[encoder]
        return dict(modulation=modulation, head_initializer=heads, encoder=chosen(*sizes))

    def training_tasks(self, iteration: tf.Tensor) -> TaskBatch:
        """The batch of a meta-iteration."""
        config = self.config
        return self.tasks.sample(
            Draw(TaskStream.TRAINING, config.seed, iteration, config.meta_batch_size),
            config.num_shots,
            config.num_queries,
        )

    def validation(self, learner: MetaLearner) -> Validation | None:
        """How the checkpoint is picked that counts; None for the last one."""
        return None

    def train(self, learner: MetaLearner, folder: RunFolder) -> None:
        """Trains, resuming from the folder's checkpoints; ends with the weights that count."""
        validation = self.validation(learner)
        fit.train(learner, self.config, folder, self.training_tasks, validation)
        if validation is not None:
            print(f"best {validation.name}: iteration {fit.restore(learner, folder)}")

    def batches(
        self, stream: TaskStream, seed: int, num_tasks: int, num_shots: int
    ) -> tuple[Callable[[tf.Tensor], TaskBatch], int]:
        """index -> a batch of the stream's tasks, and how many batches have `num_tasks`."""
        num_modes = len(self.config.mode_names)
        batch_size = min(num_tasks, self.EVALUATION_BATCH // num_modes * num_modes)

        def sample(index: tf.Tensor) -> TaskBatch:
            draw = Draw(stream, seed, index, batch_size)
            return self.tasks.sample(draw, num_shots, self.config.eval_queries)

        return sample, math.ceil(num_tasks / batch_size)

    @property
    def reported_steps(self) -> int | None:
        """Gradient steps up to which an evaluation reports; None for those of the training."""
        return self.config.eval_steps

    def evaluate(self, learner: MetaLearner) -> evaluation.TaskResults:
        """Measures the learner on `config.eval_tasks` fresh tasks."""
        config = self.config
        batches = self.batches(
            TaskStream.EVALUATION, config.eval_seed, config.eval_tasks, config.shots_at_evaluation
        )
        results = evaluation.measure(learner, self.SCORE, *batches, self.reported_steps)
        return results.first(config.eval_tasks, len(config.mode_names))

    def summarise(self, results: evaluation.TaskResults) -> pd.DataFrame:
        """The rows of evaluation.csv."""
        return evaluation.summarise(results, self.config.mode_names, self.METRIC)

    def export(self, learner: MetaLearner, path: Path) -> None:
        """Saves the learner as a SavedModel."""
        learner.export(path, num_steps=self.config.eval_steps)


def compared_by_kind(
    runs: Sequence[ReportedRun],
    kind_of: Callable[[RunConfig], str],
    draw: Callable[[dict[str, Any], dict[str, Any]], Mapping[str, Figure]],
) -> dict[str, Figure]:
    """Figures that compare runs on the same kind of task, by file name.

    Args:
      runs: of any kinds.
      kind_of: a run's config -> what its kind is called, in its label too; empty for the usual one.
      draw: by label, the training curves of every seed, and the evaluations -> figures.
    """
    kinds: dict[str, list[ReportedRun]] = {}
    for run in runs:
        kinds.setdefault(kind_of(run.domain.config), []).append(run)
    drawn: dict[str, Figure] = {}
    for kind, members in kinds.items():
        ending = f"-{kind}" if kind else ""
        groups = {group.label.replace(ending, ""): group for group in seeds.grouped(members)}
        compared = draw(
            {label: group.metrics for label, group in groups.items()},
            {label: group.evaluation for label, group in groups.items()},
        )
        suffix = f"_{kind}" if kind and len(kinds) > 1 else ""
        drawn |= {f"{name}{suffix}": figure for name, figure in compared.items()}
    return drawn
