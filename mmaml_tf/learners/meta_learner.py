"""What all supervised methods share: a network, its meta-updates, and answers to new tasks."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias

import keras
import tensorflow as tf

from mmaml_tf import methods
from mmaml_tf.devices import execution
from mmaml_tf.devices.workers import ALONE, Workers
from mmaml_tf.layers.modulation import Modulation
from mmaml_tf.learners.adapted import AdaptedLearner
from mmaml_tf.learners.losses import per_task, targets_of
from mmaml_tf.learners.missing import reject_missing
from mmaml_tf.learners.options import BN_STATISTICS, TASK_BATCHINGS
from mmaml_tf.learners.task_mapping import MetaLoss, mapped_meta_gradients, mapped_predictions
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.tasks import Examples, TaskBatch

Tau = list[tf.Tensor] | None
# Query inputs [tasks, N, ...] to outputs [tasks, N, ...], for tasks that it was made for.
Predictor: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


class Adaptation(NamedTuple):
    """What a meta-learner makes of a batch of tasks.

    Attributes:
      predictions: query predictions after 0, 1, ..., S steps: [S + 1, tasks, N, out_dim].
        Step 0 is "post modulation", step S "post adaptation".
      embedding: task embeddings v [tasks, v_dim]; None without a task encoder.
    """

    predictions: tf.Tensor
    embedding: tf.Tensor | None


class MetaLearner(keras.Model):
    """Meta-learns any Sequential or Functional Keras model: its weights are theta.

    A method says what a training task costs (`meta_loss`) and how it answers queries once it has
    seen a support set (`predictors`); here is the rest.

    Args:
      model: the base network f, of one input and one output.
      loss: see `losses.per_task`; of the tasks, in whatever the method does with it.
      metric: likewise, such as "accuracy"; what `evaluate` and `fit`'s validation report besides.
      meta_clip_norm: global-norm limit of the meta-gradient, for each of `parameter_groups`; None
        for none.
      meta_clip_value: limit of each of its elements; None for none.
      task_batching: compute all tasks at once ("batched"), or one after the other ("map"), which is
        faster for convolutions on a CPU, or as is faster ("auto"); the results are the same.
      bn_statistics: batch norm normalises queries by the query set itself ("transductive", as in
        the papers), or in predictions by the support set ("support").
      modulation: of the network's sites, or None.
      sites: names of the layers to modulate; None for every hidden block.
      adapts: names of the layers whose weights gradient steps change; None for all.
      num_groups: independent copies of theta, one per mode of tasks that come sorted by mode.
      num_outputs: width of the predictions, where the model is an embedding alone.
      checked: whether the model, as it is run here, is compared with itself first.

    Raises:
      ValueError: for a model that can't be meta-learned, saying why and what to do.
    """

    # Groups of settings that the command has for it, of those that not every method has.
    SETTINGS: tuple[str, ...] = ()
    # What of a domain's settings is its own (`methods.Method`).
    PUBLISHED: Mapping[str, methods.Published] = {}
    # Whether it asks for the true modes of tasks that are not sorted by mode.
    asks_for_modes = False
    # Whether the model is to be one that embeds inputs, without the layer that predicts.
    takes_embedding = False
    # Whether its inputs are to say what the task is (an oracle's).
    observes_task = False
    # Whether gradient steps give each task weights of its own, in training and in predictions.
    adapts_in_training = True
    adapts_in_predictions = True
    # Whether training tasks' labels are to be those of all classes, not 0 to N - 1.
    trains_on_classes = False
    # The processes that train it together.
    workers: Workers = ALONE
    # The meta-optimizer that a learning rate is meant for.
    optimizer_class: type[keras.optimizers.Optimizer] = keras.optimizers.Adam

    def __init__(
        self,
        model: keras.Model,
        *,
        loss: Any = "mse",
        metric: Any = None,
        meta_clip_norm: float | None = None,
        meta_clip_value: float | None = None,
        task_batching: str = "auto",
        bn_statistics: str = "transductive",
        modulation: Modulation | None = None,
        sites: Sequence[str] | None = None,
        adapts: Sequence[str] | None = None,
        num_groups: int = 1,
        num_outputs: int | None = None,
        checked: bool = True,
        name: str | None = None,
    ):
        super().__init__(name=name)
        require_one_of("task_batching", task_batching, TASK_BATCHINGS)
        require_one_of("bn_statistics", bn_statistics, BN_STATISTICS)
        self.network = TaskNetwork(
            model,
            modulation,
            sites=sites,
            adapts=adapts,
            support_statistics=bn_statistics == "support",
            num_groups=num_groups,
            checked=checked,
        )
        self.task_loss = per_task(loss)
        self.task_metric = None if metric is None else per_task(metric)
        self.metric_tracker = keras.metrics.Mean(name="metric")
        self.targets = targets_of(loss, model, num_outputs)
        self.meta_clip_norm = meta_clip_norm
        self.meta_clip_value = meta_clip_value
        self.map_tasks = execution.maps_tasks(task_batching, self, self.adapts_in_training)
        self.map_predictions = execution.maps_tasks(task_batching, self, self.adapts_in_predictions)
        self.meta_loss_tracker = keras.metrics.Mean(name="loss")
        self.support_loss_tracker = keras.metrics.Mean(name="support_loss")
        # Iteration (counted from 1) whose loss was the first that is not finite; 0 for none.
        self.first_bad_iteration = self.add_weight(
            name="first_bad_iteration",
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
        )
        self.network.build((None, None, *model.input_shape[1:]))
        self.network.built = True
        self.built = True

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
    def predictors(
        self, support: Examples, tau: Tau, num_steps: int | None, mode: tf.Tensor | None = None
    ) -> list[Predictor]:
        """What answers queries of these tasks, after 0, 1, ..., S steps.

        Args:
          support: x [tasks, K, in_dim], y [tasks, K, out_dim].
          tau: the modulation parameters, or None.
          num_steps: S; None for as many as in training.
          mode: [tasks], the true modes, for a learner that `asks_for_modes`, and only where the
            tasks are not sorted into equally many of each mode.
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
          ValueError: for losses and metrics, which the constructor takes.
        """
        for name in ("loss", "metrics"):
            if options.pop(name, None) is not None:
                raise ValueError(f"give {name.rstrip('s')}=... to {type(self).__name__}, not here")
        compiled = execution.compiles(jit_compile)
        super().compile(optimizer=optimizer, jit_compile=compiled, loss=None, **options)

    def fit(self, tasks: Any, **options: Any) -> keras.callbacks.History:
        """Meta-trains on a dataset of `TaskBatch`, such as `tasks.from_function` gives.

        Raises:
          ValueError: at the end of the epoch in which the loss is no finite number any more.
        """
        callbacks = [*options.pop("callbacks", ()), keras.callbacks.TerminateOnNaN()]
        history = super().fit(tasks, callbacks=callbacks, **{"shuffle": False, **options})
        if self.first_bad_iteration > 0:
            raise ValueError(
                f"the loss is not finite at iteration {int(self.first_bad_iteration)}: a lower "
                "inner_lr or learning rate, or a limit on inner gradients (inner_clip_norm), may "
                "help; the weights are not finite any more, so start from new ones"
            )
        return history

    @property
    def iteration(self) -> tf.Tensor:
        """How many meta-steps have been made: int32."""
        optimizer = getattr(self, "optimizer", None)
        return (
            tf.zeros([], tf.int32) if optimizer is None else tf.cast(optimizer.iterations, "int32")
        )

    def modulate(self, support: Examples) -> tuple[Tau, tf.Tensor | None]:
        """The modulation parameters tau and the task embedding v; (None, None) without."""
        return None, None

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """The variables whose meta-gradients are clipped together: theta, and what goes with it,
        first; omega after it."""
        return [self.network.trainable_variables]

    def train_step(self, batch: TaskBatch) -> dict[str, tf.Tensor]:
        """Lines 11 and 12 of Algorithm 1: update theta and omega by the gradient of sum_j L."""
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
        self._require_fit(batch)
        groups = self.parameter_groups()
        if self.map_tasks:
            return mapped_meta_gradients(
                meta_loss, lambda support: self.modulate(support)[0], groups, batch
            )
        with tf.GradientTape() as tape:
            query_losses, support_losses = meta_loss(batch, None)
            loss = tf.reduce_mean(query_losses)
        return query_losses, support_losses, tape.gradient(loss, groups)

    def _require_fit(self, batch: TaskBatch) -> None:
        """Raises ValueError unless tasks are of the model's inputs and the loss's targets."""
        x, y = self.network.model.input_shape[1:], self.targets.shape
        for name, examples in (("support", batch.support), ("query", batch.query)):
            for part, values, shape in (("x", examples.x, x), ("y", examples.y, y)):
                if not tf.TensorShape([None, None, *shape]).is_compatible_with(values.shape):
                    axes = ", ".join(["tasks", "examples", *map(str, shape)])
                    raise ValueError(
                        f"{name}.{part} must be [{axes}] for {self.network.model.name}, but its "
                        f"shape is {list(values.shape)}"
                    )

    def clip_meta_gradient(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Clamps a group's gradients to `meta_clip_value`, and scales them down to the global norm
        `meta_clip_norm` at most."""
        if self.meta_clip_value is not None:
            limit = self.meta_clip_value
            gradients = [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]
        if self.meta_clip_norm is None:
            return gradients
        return tf.clip_by_global_norm(gradients, self.meta_clip_norm)[0]

    def after_each_step(
        self,
        support: Examples,
        query_x: tf.Tensor,
        num_steps: int | None = None,
        mode: tf.Tensor | None = None,
    ) -> Adaptation:
        """Adapts to support sets and predicts on query inputs after every step.

        Args:
          support: x [tasks, K, in_dim], y [tasks, K, out_dim].
          query_x: [tasks, N, in_dim].
          num_steps: S; as in training by default.
          mode: see `predictors`.
        """
        tau, embedding = self.modulate(support)

        def predictions(
            support: Examples, query_x: tf.Tensor, tau: Tau, mode: tf.Tensor | None
        ) -> tf.Tensor:
            return tf.stack([f(query_x) for f in self.predictors(support, tau, num_steps, mode)])

        if not self.map_predictions:
            return Adaptation(predictions(support, query_x, tau, mode), embedding)
        if self.asks_for_modes and mode is None:
            each = tf.shape(support.x)[0] // self.network.num_groups
            mode = tf.repeat(tf.range(self.network.num_groups), each)
        dtype = self.network.compute_dtype
        mapped = mapped_predictions(predictions, support, query_x, tau, mode, dtype)
        return Adaptation(mapped, embedding)

    def adapt(
        self,
        support_x: Any,
        support_y: Any,
        num_steps: int | None = None,
        mode: Any = None,
    ) -> AdaptedLearner:
        """Adapts to one task or to many: `learner.adapt(x, y).predict(query_x)`.

        Args:
          support_x: of one task [K, ...], or of many [tasks, K, ...].
          support_y: likewise.
          num_steps: S; as in training by default.
          mode: see `predictors`.

        Raises:
          ValueError: if these are not support sets of this model, saying what was given.
        """
        return AdaptedLearner(self, support_x, support_y, num_steps, mode)

    def test_step(self, batch: TaskBatch) -> dict[str, tf.Tensor]:
        """Keras's `evaluate`: query loss (and the metric) after the steps, support loss before."""
        logs = self._running_means(*self.test_loss(batch))
        if self.task_metric is not None:
            predicted = self.after_each_step(batch.support, batch.query.x).predictions[-1]
            self.metric_tracker.update_state(self.task_metric(batch.query.y, predicted))
            logs["metric"] = self.metric_tracker.result()
        return logs

    def test_loss(self, batch: TaskBatch) -> tuple[tf.Tensor, tf.Tensor]:
        """What `test_step` reports: `meta_loss`, where that is the loss after all steps."""
        return self.meta_loss(batch)

    def predict(self, *arguments: Any, **options: Any) -> NoReturn:
        """There is nothing to predict with before it adapted.

        Raises:
          TypeError: always, saying what to call.
        """
        raise TypeError("a meta-learner predicts once adapted: learner.adapt(x, y).predict(query)")

    def export(
        self, path: str | Path, activation: Any = None, num_steps: int | None = None
    ) -> None:
        """Saves a SavedModel that adapts to new tasks with TensorFlow alone (`learners.export`).

        Args:
          path: folder to write.
          activation: makes predictions of the model's outputs, such as "softmax" of logits; None
            for none.
          num_steps: S; as in training by default.
        """
        from mmaml_tf.learners.export import export_supervised

        export_supervised(self, Path(path), keras.activations.get(activation), num_steps)


def require_one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises ValueError unless an argument is one of the allowed."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: choose from {', '.join(allowed)}")
