"""What the supervised domains share: learners by the run's method, and tasks to train on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import keras
import tensorflow as tf

from mmaml_tf import methods
from mmaml_tf.few_shot.config import FewShotConfig
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.tasks import Draw, TaskBatch, TaskStream
from mmaml_tf.training import fit
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

    @abstractmethod
    def arguments(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """What a method gets for those groups whose arguments are not the settings as they are."""

    def training_tasks(self, iteration: tf.Tensor) -> TaskBatch:
        """The batch of a meta-iteration."""
        config = self.config
        return self.tasks.sample(
            Draw(TaskStream.TRAINING, config.seed, iteration, config.meta_batch_size),
            config.num_shots,
            config.num_queries,
        )

    def validation(self, learner: MetaLearner) -> fit.Validation | None:
        """How the checkpoint is picked that counts; None for the last one."""
        return None

    def train(self, learner: MetaLearner, folder: RunFolder) -> None:
        """Trains, resuming from the folder's checkpoints; ends with the weights that count."""
        validation = self.validation(learner)
        fit.train(learner, self.config, folder, self.training_tasks, validation)
        if validation is not None:
            print(f"best {validation.name}: iteration {self.restore(learner, folder)}")

    def restore(self, learner: MetaLearner, folder: RunFolder) -> int:
        """Restores a trained learner; returns the iteration it was saved at."""
        return fit.restore(learner, folder)

    def export(self, learner: MetaLearner, path: Path) -> None:
        """Saves the learner as a SavedModel."""
        learner.export(path, num_steps=self.config.eval_steps)
