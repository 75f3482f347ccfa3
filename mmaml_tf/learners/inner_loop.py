"""The inner loop of Algorithm 1: gradient steps on theta, tau held fixed, nothing assigned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast
from mmaml_tf.layers.gradients import Change, ElementwiseScaled, Gradient
from mmaml_tf.layers.modulation import Tau
from mmaml_tf.networks.task_network import TaskNetwork

OutputLoss = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class InnerLoop:
    """How theta is adapted to a support set.

    Attributes:
      num_steps: S, gradient steps; 0 leaves theta as it is.
      learning_rate: alpha.
      first_order: treat every inner gradient as a constant (first-order MAML): the
        meta-gradient then ignores second derivatives.
      clip_norm: each task's gradient is scaled down to this global norm at most; None for no limit.
      clip_value: each gradient element is clamped to +- this value; None for no limit. Needs the
        gradient multiplied out, so it goes with materialised fast weights only.
    """

    num_steps: int
    learning_rate: float
    first_order: bool = False
    clip_norm: float | None = None
    clip_value: float | None = None

    def step(
        self,
        network: TaskNetwork,
        fast: Fast,
        tau: Tau,
        x: tf.Tensor,
        loss: OutputLoss,
        learning_rate: float | tf.Tensor | None = None,
    ) -> tuple[Fast, tf.Tensor]:
        """One step: theta'' = theta' - alpha grad_theta' L(f(x; theta', tau)).

        The tape differentiates the *sum* over tasks; since no task's loss depends on another
        task's fast weights, that gives every task its own gradient at once.

        Args:
          network: the base network f.
          fast: theta'.
          tau: modulation parameters, or None.
          x: support inputs, [tasks, K, ...].
          loss: outputs [tasks, K, ...] -> each task's loss [tasks].
          learning_rate: alpha for this step; the loop's own by default.

        Returns:
          theta'' and the tasks' losses [tasks] before the step.
        """
        gradients, losses = self.gradients(network, fast, tau, x, loss)
        rate = self.learning_rate if learning_rate is None else learning_rate
        # Of the losses' type: the inputs may be integers.
        step_size = tf.convert_to_tensor(rate, losses.dtype)
        if self.clip_norm is not None:
            step_size *= norm_clip_factor(gradients, self.clip_norm)
        return self.updated(network, fast, gradients, step_size), losses

    def gradients(
        self,
        network: TaskNetwork,
        fast: Fast,
        tau: Tau,
        x: tf.Tensor,
        loss: OutputLoss,
    ) -> tuple[list[Gradient], tf.Tensor]:
        """grad_theta' L(f(x; theta', tau)) of the layers that adapt, elements clamped, and L; the
        arguments are those of `step`."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            outputs, trace = network.forward(x, fast, tau, watch=tape.watch)
            losses = loss(outputs)
            total = tf.reduce_sum(losses)
        gradients: list[Gradient] = network.gradients(
            trace, tape.gradient(total, network.leaves(trace))
        )
        if self.first_order:
            gradients = [gradient.constant() for gradient in gradients]
        if self.clip_value is not None:
            gradients = [g.formed().clipped_by_value(self.clip_value) for g in gradients]
        return gradients, losses

    def updated(
        self,
        network: TaskNetwork,
        fast: Fast,
        gradients: Sequence[Change],
        step_size: tf.Tensor,
    ) -> Fast:
        """theta' - step_size * gradients, of the layers that adapt; `step_size` is a scalar or
        [tasks]."""
        sizes = self.step_sizes(step_size, len(gradients))
        changes = zip(gradients, sizes, strict=True)
        change = dict(zip(map(id, network.plan.adapting), changes, strict=True))
        return [
            weights.updated(*change[id(layer)]) if id(layer) in change else weights
            for layer, weights in zip(network.plan.layers, fast, strict=True)
        ]

    def step_sizes(self, step_size: tf.Tensor, num_layers: int) -> list[tf.Tensor]:
        """Of every layer that adapts: here one for all."""
        return [step_size] * num_layers

    def start_of_rates(self) -> float:
        """alpha, at which rates that are learned start.

        Raises:
          ValueError: if it is zero: what a step takes of them is by its share of alpha.
        """
        if self.learning_rate == 0:
            raise ValueError("inner_lr=0: rates that are learned start there; give more than 0")
        return self.learning_rate

    def at(self, number: int) -> Self:
        """The loop as it takes this step, of 0, 1, ..., S - 1: here they are alike."""
        return self

    def prepared(self, network: TaskNetwork, fast: Fast) -> Fast:
        """theta' as the step begins with it."""
        return fast

    def adapt(
        self,
        network: TaskNetwork,
        fast: Fast,
        tau: Tau,
        x: tf.Tensor,
        loss: OutputLoss,
    ) -> tuple[list[Fast], tf.Tensor | None]:
        """All S steps on the same support set.

        Returns:
          theta' after 0, 1, ..., S steps, and the support losses [tasks] before the first step
          (None without steps).
        """
        trajectory, first_losses = [fast], None
        for number in range(self.num_steps):
            loop = self.at(number)
            fast, losses = loop.step(network, loop.prepared(network, fast), tau, x, loss)
            trajectory.append(fast)
            first_losses = losses if first_losses is None else first_losses
        return trajectory, first_losses


@dataclass(frozen=True)
class LearnedRates(InnerLoop):
    """theta'' = theta' - alpha o grad: a rate per weight, signs free ([Meta-SGD] equation 5).

    Attributes:
      rates: alpha, of each layer that adapts a variable per weight.
    """

    rates: Sequence[Sequence[keras.Variable]] = ()

    @classmethod
    def of(
        cls, loop: InnerLoop, network: TaskNetwork, add_weight: Callable[..., keras.Variable]
    ) -> Self:
        """Like `loop`, with new rates that start at its alpha.

        Args:
          loop: with one rate for all weights.
          network: that it adapts.
          add_weight: of the learner that the rates are to belong to.
        """
        alpha = loop.start_of_rates()
        rates = [
            [
                add_weight(
                    name=f"rate_{layer.name}_{weight.name}",
                    shape=weight.shape,
                    # Keras's Constant rounds to float32.
                    initializer=lambda shape, dtype: tf.fill(shape, tf.constant(alpha, dtype)),
                )
                for weight in layer.trainable_variables
            ]
            for layer in network.plan.adapting
        ]
        return cls(**vars(loop), rates=rates)

    def updated(
        self,
        network: TaskNetwork,
        fast: Fast,
        gradients: Sequence[Change],
        step_size: tf.Tensor,
    ) -> Fast:
        """The rates hold what `step_size` has of the learning rate."""
        scaled = [
            ElementwiseScaled(gradient, [tf.convert_to_tensor(rate) for rate in rates])
            for gradient, rates in zip(gradients, self.rates, strict=True)
        ]
        return super().updated(network, fast, scaled, step_size / self.learning_rate)


def norm_clip_factor(gradients: Sequence[Gradient], limit: float) -> tf.Tensor:
    """min(1, limit / |g_j|) for every task j, |g_j| over all layers together: [tasks]."""
    squared = tf.add_n([gradient.squared_norm() for gradient in gradients])
    limit = tf.convert_to_tensor(limit, squared.dtype)
    # limit / max(|g|, limit) needs no division by zero and no gradient of sqrt at zero.
    return limit * tf.math.rsqrt(tf.maximum(squared, limit**2))
