"""MAML, Multi-MAML and MuMoMAML. `MetaLearner.meta_loss` and `train_step` are Algorithm 1."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from mmaml_tf.adaptation import InnerLoop
from mmaml_tf.encoders import ModulationNetwork
from mmaml_tf.methods import register
from mmaml_tf.networks.base_network import BaseNetwork
from mmaml_tf.task_mapping import mapped_meta_gradients, mapped_predictions
from mmaml_tf.tasks import Examples, TaskBatch

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


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
    """What the methods share: adapt theta to the support set, score on the query set.

    Args:
      network: the base network f (theta).
      inner_loop: how theta is adapted.
      loss: (targets, outputs) [tasks, N, dim] -> each task's loss [tasks].
      meta_clip_norm: global-norm limit of the meta-gradient, for theta and omega separately (and
        for each group of theta); None for no limit.
      map_tasks: compute one task at a time rather than the batch at once; the results are the
        same. Faster for convolutions on a CPU (`task_mapping`).
    """

    def __init__(
        self,
        network: BaseNetwork,
        inner_loop: InnerLoop,
        loss: Loss,
        meta_clip_norm: float | None = None,
        map_tasks: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.network = network
        self.inner_loop = inner_loop
        self.task_loss = loss
        self.meta_clip_norm = meta_clip_norm
        self.map_tasks = map_tasks
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

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means that `fit` resets at every logging interval."""
        return [self.meta_loss_tracker, self.support_loss_tracker]

    def build_for(self, x_dim: int, y_dim: int) -> None:
        """Creates theta (and omega) for inputs and targets of these widths."""
        self.build_parts((None, None, x_dim), (None, None, x_dim + y_dim))

    def build_parts(self, network_input: tuple, encoder_input: tuple) -> None:
        """Creates theta (and omega) for these input shapes, [tasks, N, ...]."""
        self.network.build(network_input)
        self.network.built = True
        self.built = True

    def modulate(self, support: Examples) -> tuple[list[tf.Tensor] | None, tf.Tensor | None]:
        """The modulation parameters tau and the task embedding v; (None, None) without."""
        return None, None

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """The variables whose meta-gradients are clipped together."""
        return [self.network.trainable_variables]

    def meta_loss(
        self, batch: TaskBatch, tau: list[tf.Tensor] | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Algorithm 1 of [MuMoMAML], lines 4 to 10, for a batch of tasks T_j.

        Args:
          batch: of tasks.
          tau: the modulation parameters where they are known already.

        Returns:
          The query losses after S steps and the support losses before the first, each [tasks].
        """
        support, query = batch.support, batch.query
        # Infer tau = {tau_i} from D_train.
        if tau is None:
            tau, _ = self.modulate(support)
        # S times: theta'_j = theta'_j - alpha grad L(f(x; theta'_j, tau); D_train).
        trajectory, support_losses = self.inner_loop.adapt(
            self.network,
            self.network.prior(),
            tau,
            support.x,
            lambda outputs: self.task_loss(support.y, outputs),
        )
        # L(f(x; theta'_j, tau); D_val).
        outputs, _ = self.network.forward(query.x, trajectory[-1], tau)
        query_losses = self.task_loss(query.y, outputs)
        return query_losses, query_losses if support_losses is None else support_losses

    def meta_gradients(
        self, batch: TaskBatch
    ) -> tuple[tf.Tensor, tf.Tensor, list[list[tf.Tensor]]]:
        """`meta_loss`, and the gradient of its mean query loss per parameter group."""
        if self.map_tasks:
            return mapped_meta_gradients(self, batch)
        with tf.GradientTape() as tape:
            query_losses, support_losses = self.meta_loss(batch)
            loss = tf.reduce_mean(query_losses)
        return query_losses, support_losses, tape.gradient(loss, self.parameter_groups())

    def train_step(self, batch: TaskBatch) -> dict[str, tf.Tensor]:
        """Lines 11 and 12: update theta and omega by the gradient of sum_j L, second order."""
        query_losses, support_losses, gradients = self.meta_gradients(batch)
        loss = tf.reduce_mean(query_losses)
        groups = self.parameter_groups()
        updates: list[tuple[tf.Tensor, keras.Variable]] = []
        for variables, values in zip(groups, gradients, strict=True):
            reject_missing(variables, values)
            updates += zip(self.clip_meta_gradient(values), variables, strict=True)
        self.optimizer.apply_gradients(updates)
        self.first_bad_iteration.assign(
            tf.where(
                (self.first_bad_iteration == 0) & ~tf.math.is_finite(loss),
                tf.cast(self.optimizer.iterations, tf.int64),
                self.first_bad_iteration,
            )
        )
        self.meta_loss_tracker.update_state(loss)
        self.support_loss_tracker.update_state(tf.reduce_mean(support_losses))
        return {metric.name: metric.result() for metric in self.metrics}

    def clip_meta_gradient(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Scales a group's gradients down to the global norm `meta_clip_norm` at most."""
        if self.meta_clip_norm is None:
            return gradients
        return tf.clip_by_global_norm(gradients, self.meta_clip_norm)[0]

    def adapt(
        self,
        support: Examples,
        query_x: tf.Tensor,
        mode: tf.Tensor | None = None,
        num_steps: int | None = None,
    ) -> Adaptation:
        """Adapts to support sets and predicts on query inputs after every step.

        Args:
          support: x [tasks, K, in_dim], y [tasks, K, out_dim].
          query_x: [tasks, N, in_dim].
          mode: [tasks], the true modes; needed by Multi-MAML, and only where the tasks are not
            sorted into equally many of each mode.
          num_steps: S; as in training by default.
        """
        tau, embedding = self.modulate(support)
        loop = self.inner_loop
        if num_steps is not None:
            loop = dataclasses.replace(loop, num_steps=num_steps)
        if self.map_tasks:
            return Adaptation(mapped_predictions(self, loop, support, query_x, tau), embedding)
        return Adaptation(self.predictions(loop, support, query_x, tau, mode), embedding)

    def predictions(
        self,
        loop: InnerLoop,
        support: Examples,
        query_x: tf.Tensor,
        tau: list[tf.Tensor] | None,
        mode: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Query predictions after 0, 1, ..., S steps with tau: [S + 1, tasks, N, out_dim]."""
        trajectory, _ = loop.adapt(
            self.network,
            self.network.prior(mode),
            tau,
            support.x,
            lambda outputs: self.task_loss(support.y, outputs),
        )
        return tf.stack(
            [self.network.predict(query_x, fast, tau, support.x) for fast in trajectory]
        )

    def predict_step(self, batch: TaskBatch) -> dict[str, tf.Tensor]:
        """Every task's query loss after each step, [tasks, S + 1], and its embedding."""
        outcome = self.adapt(batch.support, batch.query.x)
        losses = [self.task_loss(batch.query.y, p) for p in tf.unstack(outcome.predictions)]
        results = {"loss": tf.stack(losses, 1)}
        if outcome.embedding is not None:
            results["embedding"] = outcome.embedding
        return results


@register("maml", "regression", "classification")
class MAML(MetaLearner):
    """Model-agnostic meta-learning: one prior theta for all tasks, no modulation. [MAML]"""

    def adapt(
        self,
        support: Examples,
        query_x: tf.Tensor,
        mode: tf.Tensor | None = None,
        num_steps: int | None = None,
    ) -> Adaptation:
        """See `MetaLearner`; the modes are ignored."""
        return super().adapt(support, query_x, num_steps=num_steps)


@register("multi_maml", "regression")  # where tasks have modes
class MultiMAML(MetaLearner):
    """One MAML per mode; the true mode of a task picks its model ([MuMoMAML] 4, an oracle).

    The M models live in one network with M groups of slow weights, and train in one batched step.
    The loss is a mean over all tasks, so each model's gradient carries a factor 1 / M, undone
    before it is clipped: every model trains as it would alone.
    """

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """theta of each model."""
        return self.network.groups

    def clip_meta_gradient(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Clips a model's gradient by the norm of its own, M times as large."""
        return super().clip_meta_gradient([self.network.num_groups * g for g in gradients])


@register("mumomaml", "regression", "classification", settings=["modulation"])
class MuMoMAML(MetaLearner):
    """MAML whose prior is modulated by a task encoder. [MuMoMAML]

    Args:
      encoder: support set -> task embedding v (part of omega).
      modulation_network: v -> tau_1 ... tau_N (the other part of omega).
    """

    def __init__(
        self, *args, encoder: keras.layers.Layer, modulation_network: ModulationNetwork, **kwargs
    ):
        super().__init__(*args, **kwargs)
        self.encoder = encoder
        self.modulation_network = modulation_network

    def build_parts(self, network_input: tuple, encoder_input: tuple) -> None:
        """Creates theta and omega."""
        super().build_parts(network_input, encoder_input)
        self.encoder.build(encoder_input)
        self.modulation_network.build((None, self.encoder.output_units))

    def modulate(self, support: Examples) -> tuple[list[tf.Tensor] | None, tf.Tensor | None]:
        """tau from D_train, and v on the way there."""
        embedding = self.encoder(support.x, support.y)
        return self.modulation_network(embedding), embedding

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """theta and omega."""
        omega = self.encoder.trainable_variables + self.modulation_network.trainable_variables
        return [self.network.trainable_variables, omega]


def reject_missing(variables: list[keras.Variable], gradients: list[tf.Tensor | None]) -> None:
    """A variable without a meta-gradient would silently never train.

    Raises:
      ValueError: naming the variables whose gradient is None.
    """
    missing = [v.path for v, g in zip(variables, gradients, strict=True) if g is None]
    if missing:
        raise ValueError(f"no meta-gradient reaches {', '.join(missing)}")


def mean_squared_error(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Mean over points and dimensions: [tasks, N, dim] twice -> [tasks]."""
    return tf.reduce_mean((targets - outputs) ** 2, [1, 2])
