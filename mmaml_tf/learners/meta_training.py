"""How a meta-learner is trained: meta-gradients, updates, and what is counted."""

from abc import abstractmethod
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.devices import execution
from mmaml_tf.devices.workers import ALONE, Workers
from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.losses import TaskLoss
from mmaml_tf.learners.missing import reject_missing
from mmaml_tf.learners.task_mapping import MetaLoss, mapped_meta_gradients
from mmaml_tf.tasks import Examples, TaskBatch


class MetaTraining(keras.Model):
    """Descends a `meta_loss`: lines 11 and 12 of Algorithm 1.

    Args:
      meta_clip_norm: global-norm limit of the meta-gradient, for each of `parameter_groups`; None
        for none.
      meta_clip_value: limit of each of its elements; None for none.
      name: Keras's.

    Attributes:
      map_tasks: whether its meta-gradient is taken one task after the other.
      task_metric: (targets, predictions) -> each task's metric; None for none.
    """

    # The processes that train it together.
    workers: Workers = ALONE
    # The meta-optimizer that a learning rate is meant for.
    optimizer_class: type[keras.optimizers.Optimizer] = keras.optimizers.Adam
    map_tasks: bool
    task_metric: TaskLoss | None
    # What becomes of variables without a gradient, (variables, gradients) -> gradients.
    completed = staticmethod(reject_missing)

    def __init__(
        self, meta_clip_norm: float | None, meta_clip_value: float | None, name: str | None = None
    ):
        super().__init__(name=name)
        missing = [name for name in dir(type(self)) if _is_abstract(getattr(type(self), name))]
        if missing:
            raise TypeError(f"{type(self).__name__} does not define {', '.join(missing)}")
        self.meta_clip_norm = meta_clip_norm
        self.meta_clip_value = meta_clip_value
        self.meta_loss_tracker = keras.metrics.Mean(name="loss")
        self.support_loss_tracker = keras.metrics.Mean(name="support_loss")
        self.metric_tracker = keras.metrics.Mean(name="metric")
        # Iteration (counted from 1) whose loss was the first that is not finite; 0 for none.
        self.first_bad_iteration = self.add_weight(
            name="first_bad_iteration",
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
        )

    @abstractmethod
    def meta_loss(self, batch: TaskBatch, tau: Tau = None) -> tuple[tf.Tensor, tf.Tensor]:
        """What a batch of training tasks costs.

        Args:
          batch: of tasks.
          tau: the modulation parameters where they are known already.

        Returns:
          The losses whose mean is descended, and those before any gradient step, each [tasks].
        """

    @abstractmethod
    def modulate(self, support: Examples) -> tuple[Tau, tf.Tensor | None]:
        """The modulation parameters tau and the task embedding v; (None, None) without."""

    @abstractmethod
    def parameter_groups(self) -> list[list[keras.Variable]]:
        """The variables that meta-training changes, those together whose meta-gradients are clipped
        together: theta, and what goes with it, first; omega after it."""

    @abstractmethod
    def fitted(self, batch: TaskBatch) -> TaskBatch:
        """The tasks in the types of the model's inputs and the loss's targets.

        Raises:
          ValueError: unless they are such tasks.
        """

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means that `fit` resets at every logging interval."""
        trackers = [self.meta_loss_tracker, self.support_loss_tracker]
        return trackers + ([] if self.task_metric is None else [self.metric_tracker])

    def compile(
        self, optimizer: Any = "adam", jit_compile: bool | str = "auto", **options: Any
    ) -> None:
        """Gives it the meta-optimizer. With "auto", XLA compiles where there is a GPU.

        Raises:
          ValueError: for losses and metrics, which the constructor takes, and for loss scaling.
        """
        for name, own in (("loss", "loss"), ("metrics", "metric")):
            if options.pop(name, None) is not None:
                raise ValueError(f"give {own}=... to {type(self).__name__}, not here")
        compiled = execution.compiles(jit_compile)
        super().compile(optimizer=optimizer, jit_compile=compiled, loss=None, **options)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            raise ValueError("LossScaleOptimizer is for float16, which loses second derivatives")
        # So that `load_weights` finds its state, and a `fit` that fails leaves nothing half made.
        self.optimizer.build(self.trainable_variables)

    def fit(self, tasks: Any, **options: Any) -> keras.callbacks.History:
        """Meta-trains on a dataset of `TaskBatch`, such as `tasks.from_function` gives.

        Raises:
          ValueError: once the loss is no finite number any more; its epoch is cut short. For a
            stream without an end, unless `steps_per_epoch` says how much of it.
        """
        require_end("steps_per_epoch", options.get("steps_per_epoch"), tasks)
        callbacks = [*(options.pop("callbacks", None) or ()), keras.callbacks.TerminateOnNaN()]
        history = super().fit(tasks, callbacks=callbacks, **{"shuffle": False, **options})
        if self.first_bad_iteration > 0:
            raise ValueError(
                f"the loss is not finite at iteration {int(self.first_bad_iteration)}: a lower "
                "inner_lr or learning rate, or a limit on inner gradients (inner_clip_norm), may "
                "help, unless the tasks hold such numbers; the weights are not finite any more, so "
                "start from new ones"
            )
        return history

    def evaluate(self, x: Any, **options: Any) -> Any:
        """Keras's, on a dataset of `TaskBatch`: the means over its tasks of the query loss (and the
        metric) after the steps, and of the support loss before them.

        Raises:
          ValueError: for a stream without an end, unless `steps` says how much of it.
        """
        require_end("steps (of fit: validation_steps)", options.get("steps"), x)
        return super().evaluate(x, **options)

    @property
    def iteration(self) -> tf.Tensor:
        """How many meta-steps have been made: int32."""
        optimizer = getattr(self, "optimizer", None)
        return (
            tf.zeros([], tf.int32) if optimizer is None else tf.cast(optimizer.iterations, "int32")
        )

    def train_step(self, batch: TaskBatch) -> dict[str, tf.Tensor]:
        """Lines 11 and 12 of Algorithm 1: update theta and omega by the gradient of the tasks'
        mean loss (their sum in the paper)."""
        query_losses, support_losses, gradients = self.meta_gradients(batch)
        loss, support_loss, gradients = self.workers.mean(
            (tf.reduce_mean(query_losses), tf.reduce_mean(support_losses), gradients)
        )
        updates: list[tuple[tf.Tensor, keras.Variable]] = []
        for variables, values in zip(self.parameter_groups(), gradients, strict=True):
            clipped = self.clip_meta_gradient(reject_missing(variables, values))
            updates += zip(clipped, variables, strict=True)
        self.optimizer.apply_gradients(updates)
        self.first_bad_iteration.assign(
            tf.where(
                (self.first_bad_iteration == 0) & ~tf.math.is_finite(loss),
                tf.cast(self.optimizer.iterations, tf.int64),
                self.first_bad_iteration,
            )
        )
        return self._running_means(loss, support_loss)

    def _running_means(
        self, query_losses: tf.Tensor, support_losses: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        self.meta_loss_tracker.update_state(tf.reduce_mean(query_losses))
        self.support_loss_tracker.update_state(tf.reduce_mean(support_losses))
        trackers = (self.meta_loss_tracker, self.support_loss_tracker)
        return {tracker.name: tracker.result() for tracker in trackers}

    def meta_gradients(
        self, batch: TaskBatch
    ) -> tuple[tf.Tensor, tf.Tensor, list[list[tf.Tensor]]]:
        """`meta_loss`, and the gradient of its mean query loss per parameter group."""
        return self.gradients_of(self.meta_loss, batch)

    def gradients_of(
        self, meta_loss: MetaLoss, batch: TaskBatch
    ) -> tuple[tf.Tensor, tf.Tensor, list[list[tf.Tensor]]]:
        """As `meta_gradients`, of any function of `meta_loss`'s kind."""
        batch = self.fitted(batch)
        groups = self.parameter_groups()
        if self.map_tasks:
            return mapped_meta_gradients(
                meta_loss,
                lambda support: self.modulate(support)[0],
                groups,
                batch,
                self.completed,
            )
        with tf.GradientTape() as tape:
            query_losses, support_losses = meta_loss(batch, None)
            loss = tf.reduce_mean(query_losses)
        pairs = zip(groups, tape.gradient(loss, groups), strict=True)
        return query_losses, support_losses, [self.completed(*pair) for pair in pairs]

    def clip_meta_gradient(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Clamps a group's gradients to `meta_clip_value`, and scales them down to the global norm
        `meta_clip_norm` at most."""
        if self.meta_clip_value is not None:
            limit = self.meta_clip_value
            gradients = [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]
        if self.meta_clip_norm is None:
            return gradients
        return tf.clip_by_global_norm(gradients, self.meta_clip_norm)[0]


def _is_abstract(attribute: Any) -> bool:
    """Which Keras's classes do not look at."""
    return getattr(attribute, "__isabstractmethod__", False)


def require_end(name: str, steps: int | None, tasks: Any) -> None:
    """Raises ValueError for an endless stream of which no number of batches is asked for."""
    endless = tf.data.INFINITE_CARDINALITY
    if steps is None and isinstance(tasks, tf.data.Dataset) and tasks.cardinality() == endless:
        raise ValueError(f"the tasks have no end: {name}=... says how many batches to take")
