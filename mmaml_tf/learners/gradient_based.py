"""Methods that take gradient steps on a task. `meta_loss` is Algorithm 1 of [MuMoMAML]."""

import dataclasses
import functools
import numbers
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast
from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.inner_loop import InnerLoop, LearnedRates
from mmaml_tf.learners.meta_learner import MetaLearner, Predictor
from mmaml_tf.learners.options import FAST_WEIGHTS, require_at_least, require_one_of
from mmaml_tf.tasks import Examples, TaskBatch


class GradientBased(MetaLearner):
    """theta is a prior that gradient steps adapt to each task.

    Args:
      model: the base network f.
      inner_steps: S, gradient steps on a support set.
      inner_lr: alpha, their learning rate.
      first_order: ignore second derivatives (first-order MAML).
      inner_clip_norm: limit of the norm of each task's inner gradient; None for none.
      inner_clip_value: limit of each of its elements; None for none.
      learned_rates: meta-learn a rate per weight, signs free, from alpha on [Meta-SGD].
      fast_weights: of dense layers, in FAST_WEIGHTS; the results are the same.
      **settings: see `MetaLearner`.

    Raises:
      ValueError: for numbers below zero, or another form of fast weights.
    """

    SETTINGS: tuple[str, ...] = ("inner_loop", "meta_gradient")

    def __init__(
        self,
        model: keras.Model,
        *,
        inner_steps: int = 1,
        inner_lr: float = 0.01,
        first_order: bool = False,
        inner_clip_norm: float | None = None,
        inner_clip_value: float | None = None,
        learned_rates: bool = False,
        fast_weights: str = "auto",
        **settings: Any,
    ):
        super().__init__(model, **settings)
        require_at_least("inner_steps", inner_steps, 0, numbers.Integral)
        require_at_least("inner_lr", inner_lr, 0)
        limits = dict(inner_clip_norm=inner_clip_norm, inner_clip_value=inner_clip_value)
        for name, limit in limits.items():
            if limit is not None:
                require_at_least(name, limit, 0)
        require_one_of("fast_weights", fast_weights, FAST_WEIGHTS)
        # Elements can be neither clipped nor scaled before they are multiplied out.
        is_elementwise = learned_rates or inner_clip_value is not None
        self.fast_weights = "materialised" if is_elementwise else fast_weights
        self.inner_loop = InnerLoop(
            inner_steps, inner_lr, first_order, inner_clip_norm, inner_clip_value
        )
        self.rates: list[keras.Variable] = []
        if learned_rates:
            learned = LearnedRates.of(self.inner_loop, self.network, self.add_weight)
            self.rates = [rate for rates in learned.rates for rate in rates]
            self.inner_loop = learned

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """See `MetaLearner`; learned rates go with theta."""
        theta, *others = super().parameter_groups()
        return [[*theta, *self.rates], *others]

    def prior(self, support: Examples, num_steps: int, mode: tf.Tensor | None = None) -> Fast:
        """theta as fast weights, for so many steps on these support sets."""
        return self.network.prior(None, self.rows_seen(support, num_steps))

    def rows_seen(self, support: Examples, num_steps: int) -> int | None:
        """What decides how dense layers' fast weights are kept; None for multiplied out."""
        num_shots = support.x.shape[1]
        by_steps = None if num_shots is None or num_steps == 0 else num_shots * num_steps
        return {"auto": by_steps, "factored": 1, "materialised": None}[self.fast_weights]

    def meta_loss(self, batch: TaskBatch, tau: Tau = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Algorithm 1 of [MuMoMAML], lines 4 to 10, for a batch of tasks T_j: the query losses
        after S steps and the support losses before the first, each [tasks]."""
        support, query = batch.support, batch.query
        # Infer tau = {tau_i} from D_train.
        if tau is None:
            tau, _ = self.modulate(support)
        # S times: theta'_j = theta'_j - alpha grad L(f(x; theta'_j, tau); D_train).
        # Sorted tasks need not say their mode. One alone does, and all where XLA leaves out the
        # assertion that they are sorted.
        told = self.map_tasks or (self.asks_for_modes and self.jit_compile)
        mode = batch.mode if told else None
        trajectory, support_losses = self.trajectory(support, tau, self.inner_loop.num_steps, mode)
        # L(f(x; theta'_j, tau); D_val).
        outputs, _ = self.network.forward(query.x, trajectory[-1], tau)
        query_losses = self.task_loss(query.y, outputs)
        return query_losses, query_losses if support_losses is None else support_losses

    def trajectory(
        self, support: Examples, tau: Tau, num_steps: int, mode: tf.Tensor | None = None
    ) -> tuple[list[Fast], tf.Tensor | None]:
        """The inner loop: S gradient steps on the support sets, with tau.

        Returns:
          theta' after 0, 1, ..., S steps, and the support losses [tasks] before the first (None
          without steps).
        """
        loop = dataclasses.replace(self.inner_loop, num_steps=num_steps)
        return loop.adapt(
            self.network,
            self.prior(support, num_steps, mode),
            tau,
            support.x,
            lambda outputs: self.task_loss(support.y, outputs),
        )

    def predictors(
        self, support: Examples, tau: Tau, num_steps: int | None, mode: tf.Tensor | None = None
    ) -> list[Predictor]:
        """See `MetaLearner`: f(x; theta', tau) along the trajectory."""
        steps = self.inner_loop.num_steps if num_steps is None else num_steps
        trajectory, _ = self.trajectory(support, tau, steps, mode)
        return [
            functools.partial(self.network.predict, fast=fast, tau=tau, support_x=support.x)
            for fast in trajectory
        ]
