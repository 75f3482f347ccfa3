"""What the supervised domains share: a stream of tasks to train on."""

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import tensorflow as tf

from mmaml_tf import supervised
from mmaml_tf.config import FewShotConfig
from mmaml_tf.meta_learners import MetaLearner
from mmaml_tf.run_folder import RunFolder
from mmaml_tf.tasks import TaskBatch, TaskStream


class FewShotTasks(Protocol):
    """What every supervised domain asks of its task distribution."""

    def sample(
        self,
        stream: TaskStream,
        seed: int,
        iteration: int | tf.Tensor,
        num_tasks: int,
        num_shots: int,
        num_queries: int,
    ) -> TaskBatch:
        """A batch of tasks, a pure function of its arguments."""


ConfigT = TypeVar("ConfigT", bound=FewShotConfig)
TasksT = TypeVar("TasksT", bound=FewShotTasks)


class FewShotDomain(ABC, Generic[ConfigT, TasksT]):
    """Base class of the supervised domains: training on a task distribution.

    Args:
      config: of the run.
      tasks: the task distribution.
    """

    def __init__(self, config: ConfigT, tasks: TasksT):
        self.config = config
        self.tasks = tasks

    @abstractmethod
    def build_learner(self) -> MetaLearner:
        """A fresh learner, built and compiled."""

    def training_tasks(self, iteration: tf.Tensor) -> TaskBatch:
        """The batch of a meta-iteration."""
        config = self.config
        return self.tasks.sample(
            TaskStream.TRAINING,
            config.seed,
            iteration,
            config.meta_batch_size,
            config.num_shots,
            config.num_queries,
        )

    def validation(self, learner: MetaLearner) -> supervised.Validation | None:
        """How the checkpoint is picked that counts; None for the last one."""
        return None

    def train(self, learner: MetaLearner, folder: RunFolder) -> None:
        """Trains, resuming from the folder's checkpoints; ends with the weights that count."""
        validation = self.validation(learner)
        supervised.train(learner, self.config, folder, self.training_tasks, validation)
        if validation is not None:
            print(f"best {validation.name}: iteration {self.restore(learner, folder)}")

    def restore(self, learner: MetaLearner, folder: RunFolder) -> int:
        """Restores a trained learner; returns the iteration it was saved at."""
        return supervised.restore(learner, folder)
