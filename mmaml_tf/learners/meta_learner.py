"""What all supervised methods share: a network, its meta-updates, and answers to new tasks."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias

import keras
import tensorflow as tf

from mmaml_tf import methods
from mmaml_tf.devices import execution
from mmaml_tf.layers.modulation import Modulation, Tau
from mmaml_tf.learners.adapted import BYTES, AdaptedLearner
from mmaml_tf.learners.losses import per_task, targets_of
from mmaml_tf.learners.meta_training import MetaTraining
from mmaml_tf.learners.options import BN_STATISTICS, TASK_BATCHINGS, require_one_of
from mmaml_tf.learners.task_mapping import mapped_predictions
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.tasks import Examples, TaskBatch

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


class MetaLearner(MetaTraining):
    """Meta-learns any Sequential or Functional Keras model: its weights are theta.

    A method says what a training task costs (`meta_loss`) and how it answers queries once it has
    seen a support set (`predictors`); here is the rest. The command makes it with the arguments of
    the groups in its SETTINGS: inner_loop (inner_steps, inner_lr and limits), meta_gradient
    (first_order), modulation (modulation, encoder, head_initializer), modes (num_modes), outputs
    (num_outputs: for a model that embeds), ways (num_ways), classes (num_classes), and those of
    single methods in the configs' GROUPS.

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
      name: Keras's, of the learner.

    Raises:
      ValueError: for a model that can't be meta-learned, or another argument that won't do, saying
        why and what to do.
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
        super().__init__(meta_clip_norm, meta_clip_value, name=name)
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
        self.targets = targets_of(loss, model, num_outputs)
        self.map_tasks = execution.maps_tasks(task_batching, self, self.adapts_in_training)
        self.map_predictions = execution.maps_tasks(task_batching, self, self.adapts_in_predictions)
        self.network.build((None, None, *model.input_shape[1:]))
        self.network.built = True
        self.built = True

    @abstractmethod
    def predictors(
        self, support: Examples, tau: Tau, num_steps: int | None, mode: tf.Tensor | None = None
    ) -> list[Predictor]:
        """What answers queries of these tasks, after 0, 1, ..., S steps.

        Args:
          support: x [tasks, K, ...], y [tasks, K, ...].
          tau: the modulation parameters, or None.
          num_steps: S; None for as many as in training.
          mode: [tasks], the true modes, for a learner that `asks_for_modes`, and only where the
            tasks are not sorted into equally many of each mode.
        """

    def modulate(self, support: Examples) -> tuple[Tau, tf.Tensor | None]:
        """See `MetaTraining`: none."""
        return None, None

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """See `MetaTraining`."""
        return [self.network.trainable_variables]

    def compile(
        self, optimizer: Any = "adam", jit_compile: bool | str = "auto", **options: Any
    ) -> None:
        """See `MetaTraining`.

        Raises:
          ValueError: also for variables of a method that no parameter group has.
        """
        groups = [*self.parameter_groups(), self.network.trainable_variables]
        known = {id(variable) for group in groups for variable in group}
        left = [own.path for own in self.trainable_variables if id(own) not in known]
        if left:
            raise ValueError(
                f"{type(self).__name__}: {', '.join(left)} would never train: return it from "
                "parameter_groups, or make it with trainable=False"
            )
        super().compile(optimizer, jit_compile, **options)

    def fitted(self, batch: TaskBatch) -> TaskBatch:
        """See `MetaTraining`; numbers become floats where floats are wanted."""
        if not isinstance(batch, TaskBatch):
            raise ValueError(
                "tasks must come as mm.tasks.TaskBatch(support, query, mode), with Examples(x, y) "
                f"in it, not as {type(batch).__name__}"
            )
        sets = zip(("support", "query"), (batch.support, batch.query), strict=True)
        support, query = (self._fitted(name, examples) for name, examples in sets)
        mode = batch.mode
        if mode is None and self.asks_for_modes:
            raise ValueError(f"{type(self).__name__} needs the mode of every task in TaskBatch")
        mode = tf.zeros(tf.shape(support.x)[:1], tf.int32) if mode is None else mode
        return TaskBatch(support, query, mode)

    def _fitted(self, name: str, examples: Examples) -> Examples:
        model, targets = self.network.model, self.targets
        kinds = ((model.input_shape[1:], model.inputs[0].dtype), (targets.shape, targets.dtype))
        fitting = []
        for part, values, (shape, dtype) in zip("xy", examples, kinds, strict=True):
            if not tf.TensorShape([None, None, *shape]).is_compatible_with(values.shape):
                axes = ", ".join(["tasks", "examples", *map(str, shape)])
                raise ValueError(
                    f"{name}.{part} must be [{axes}] for {model.name}, but its shape is "
                    f"{list(values.shape)}"
                )
            wanted = tf.as_dtype(dtype)
            if part == "x" and values.dtype == tf.uint8 and wanted.is_floating:
                raise ValueError(f"{name}.x {BYTES}")
            if values.dtype.is_floating and wanted.is_integer:
                raise ValueError(
                    f"{name}.{part} must be whole numbers, not {values.dtype.name}: cast labels to "
                    "int32"
                )
            fitting.append(tf.cast(values, wanted))
        x, y = (part.shape[:2] for part in fitting)
        if not x.is_compatible_with(y):
            raise ValueError(f"{name}: x is of {list(x)} tasks and examples, y of {list(y)}")
        return Examples(*fitting)

    def after_each_step(
        self,
        support: Examples,
        query_x: tf.Tensor,
        num_steps: int | None = None,
        mode: tf.Tensor | None = None,
    ) -> Adaptation:
        """Adapts to support sets and predicts on query inputs after every step.

        Args:
          support: x [tasks, K, ...], y [tasks, K, ...].
          query_x: [tasks, N, ...].
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
          mode: for a learner that `asks_for_modes`, and only for it: of one task its mode, of many
            [tasks].

        Raises:
          ValueError: if these are not support sets of this model, or not their modes, saying what
            was given.
        """
        return AdaptedLearner(self, support_x, support_y, num_steps, mode)

    def test_step(self, batch: TaskBatch) -> dict[str, tf.Tensor]:
        """Keras's `evaluate`: query loss (and the metric) after the steps, support loss before."""
        batch = self.fitted(batch)
        logs = self._running_means(*self.test_loss(batch))
        if self.task_metric is not None:
            mode = batch.mode if self.asks_for_modes else None
            outcome = self.after_each_step(batch.support, batch.query.x, mode=mode)
            predicted = outcome.predictions[-1]
            self.metric_tracker.update_state(self.task_metric(batch.query.y, predicted))
            logs["metric"] = self.metric_tracker.result()
        return logs

    def test_loss(self, batch: TaskBatch) -> tuple[tf.Tensor, tf.Tensor]:
        """What `test_step` reports: each task's query loss after all steps, and support loss before
        the first. That is `meta_loss`, where training is on nothing else."""
        return self.meta_loss(batch)

    def predict(self, *arguments: Any, **options: Any) -> NoReturn:
        """There is nothing to predict with before it adapted.

        Raises:
          TypeError: always, saying what to call.
        """
        raise TypeError("a meta-learner predicts once adapted: learner.adapt(x, y).predict(query)")

    def get_config(self) -> NoReturn:
        """A learner is not saved as a whole.

        Raises:
          NotImplementedError: always, saying what to do.
        """
        raise NotImplementedError(
            "a learner is made anew by its constructor: save_weights and load_weights keep its "
            "weights, export makes a SavedModel that adapts"
        )

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
