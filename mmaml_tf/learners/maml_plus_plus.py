"""MAML++: measures that make MAML train more easily. [MAML++]"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast, TaskWeights
from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.gradient_based import GradientBased
from mmaml_tf.learners.inner_loop import InnerLoop
from mmaml_tf.learners.missing import zero_missing
from mmaml_tf.methods import register
from mmaml_tf.networks.plan import require_own_names
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.tasks import TaskBatch


@dataclasses.dataclass(frozen=True)
class ScheduledLoop(InnerLoop):
    """The inner loop with rates per step and layer, and norms per step.

    Attributes:
      rates: alpha of every step [S], one per layer that adapts; empty for `learning_rate`.
      norms: of layers by name the weights of the steps after the first, step by step.
      number: of the step that it takes. Beyond the trained ones the last one's weights count.
    """

    rates: Sequence[keras.Variable] = ()
    norms: Mapping[str, Sequence[Sequence[keras.Variable]]] = dataclasses.field(
        default_factory=dict
    )
    number: int = 0

    def at(self, number: int) -> Self:
        """See `InnerLoop`."""
        return dataclasses.replace(self, number=number)

    def step_sizes(self, step_size: tf.Tensor, num_layers: int) -> list[tf.Tensor]:
        """See `InnerLoop`."""
        if not self.rates:
            return super().step_sizes(step_size, num_layers)
        step = min(self.number, self.rates[0].shape[0] - 1)
        return [step_size / self.learning_rate * rate[step] for rate in self.rates]

    def prepared(self, network: TaskNetwork, fast: Fast) -> Fast:
        """See `InnerLoop`: with the step's norms."""
        if self.number == 0 or not self.norms:
            return fast
        chosen = {name: sets[min(self.number, len(sets)) - 1] for name, sets in self.norms.items()}
        return [
            TaskWeights(tuple(tf.convert_to_tensor(v)[None] for v in chosen[layer.name]))
            if layer.name in chosen
            else weights
            for layer, weights in zip(network.plan.layers, fast, strict=True)
        ]


@register("maml_plus_plus", "regression", "classification")
class MAMLPlusPlus(GradientBased):
    """MAML with the measures of Antoniou et al. 2019 (arXiv:1810.09502), each of which can be
    switched off; without all of them it is MAML.

    Args:
      model: the base network.
      multi_step_iterations: while the weights of the query losses after the earlier steps go from
        1 / S each to zero, linearly (equation 5; its code stops at 0.03 / S). 0 for the last alone.
      first_order_iterations: at first without second derivatives.
      rates_per_step: meta-learn alpha for every layer and step.
      norm_per_step: every step has batch norm scales and shifts of its own, which the inner loop
        leaves alone. The statistics are those of the set at hand, as in their code.
      **settings: see `GradientBased`.
    """

    SETTINGS: tuple[str, ...] = (*GradientBased.SETTINGS, "measures")
    # Without second derivatives the last step's query loss sees no other step's norms.
    completed = staticmethod(zero_missing)
    # Its code's configurations of Omniglot and Mini-ImageNet, but for the networks: theirs have 48
    # filters, and max-pooling in Omniglot, too. Regression it has not: when second derivatives
    # begin, and MuMoMAML's limit, are choices.
    PUBLISHED = {
        "regression": dict(
            lr_schedule="cosine", first_order_iterations=5_000, inner_clip_norm=100.0
        ),
        "omniglot": dict(
            iterations=50_000,
            meta_batch_size=8,
            lr_schedule="cosine",
            inner_steps=5,
            inner_lr=0.1,
            num_queries=1,
            eval_steps=5,
        ),
        "image_sets": lambda settings: dict(
            iterations=50_000,
            meta_batch_size=2 * max(1, len(settings["modes"])),
            inner_lr=0.01,
            meta_clip_value=10.0,
            multi_step_iterations=7_500,
            eval_steps=5,
        ),
    }

    def __init__(
        self,
        model: keras.Model,
        *,
        multi_step_iterations: int = 5_000,
        first_order_iterations: int = 0,
        rates_per_step: bool = True,
        norm_per_step: bool = True,
        **settings: Any,
    ):
        # Its rates are per step and layer, those per weight not there.
        super().__init__(model, learned_rates=False, **settings)
        plan = self.network.plan
        norms = [
            layer
            for layer in plan.layers
            if norm_per_step and isinstance(layer, keras.layers.BatchNormalization)
        ]
        plan.adapting = [layer for layer in plan.adapting if layer not in norms]
        require_own_names(norms)
        self.multi_step_iterations = multi_step_iterations
        self.first_order_iterations = first_order_iterations
        steps = self.inner_loop.num_steps
        self.step_rates = []
        if rates_per_step and steps > 0:
            alpha = self.inner_loop.start_of_rates()
            self.step_rates = [
                self.add_weight(
                    name=f"rates_{layer.name}",
                    shape=(steps,),
                    # Keras's Constant rounds to float32.
                    initializer=lambda shape, dtype: tf.fill(shape, tf.constant(alpha, dtype)),
                )
                for layer in plan.adapting
            ]
        # The first step's are the model's own: a single step has no others.
        self.later_norms = {
            layer.name: [
                [
                    self.add_weight(
                        name=f"{layer.name}_{weight.name}_{step}",
                        shape=weight.shape,
                        initializer=lambda shape, dtype, weight=weight: tf.identity(weight),
                    )
                    for weight in layer.trainable_variables
                ]
                for step in range(1, steps)
            ]
            for layer in norms
            if steps > 1
        }
        self.inner_loop = ScheduledLoop(
            **vars(self.inner_loop), rates=self.step_rates, norms=self.later_norms
        )

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """See `MetaLearner`; what the measures add goes with theta."""
        theta, *others = super().parameter_groups()
        norms = keras.tree.flatten(list(self.later_norms.values()))
        return [[*theta, *self.step_rates, *norms], *others]

    def step_weights(self) -> list[tf.Tensor]:
        """Of the query losses after 1, ..., S steps; they sum to one."""
        steps = self.inner_loop.num_steps
        dtype = self.network.compute_dtype
        left = tf.ones([], dtype)
        if self.multi_step_iterations > 0:
            progress = tf.cast(self.iteration, dtype) / self.multi_step_iterations
            left = tf.maximum(tf.zeros([], dtype), 1 - progress)
        early = left / steps
        return [early] * (steps - 1) + [1 - (steps - 1) * early]

    def meta_gradients(
        self, batch: TaskBatch
    ) -> tuple[tf.Tensor, tf.Tensor, list[list[tf.Tensor]]]:
        """See `MetaLearner`. Two graphs, of which one runs: leaving second derivatives out by a
        factor of zero would cost as much as having them."""
        second = functools.partial(self.gradients_of, self.meta_loss, batch)
        if self.first_order_iterations == 0:
            return second()
        first = functools.partial(
            self.gradients_of, functools.partial(self.meta_loss, first_order=True), batch
        )
        return tf.cond(self.iteration < self.first_order_iterations, first, second)

    def meta_loss(
        self, batch: TaskBatch, tau: Tau = None, first_order: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `GradientBased`; at first the query loss after every step counts."""
        loop, support = self.inner_loop, batch.support
        if first_order:
            loop = dataclasses.replace(loop, first_order=True)
        steps = loop.num_steps
        trajectory, support_losses = loop.adapt(
            self.network,
            self.prior(support, steps),
            tau,
            support.x,
            lambda outputs: self.task_loss(support.y, outputs),
        )

        def query_losses(fast: Fast) -> tf.Tensor:
            outputs, _ = self.network.forward(batch.query.x, fast, tau)
            return self.task_loss(batch.query.y, outputs)

        losses = query_losses(trajectory[-1])
        if self.multi_step_iterations > 0 and steps > 1:
            *weights, last = self.step_weights()

            def of_all_steps() -> tf.Tensor:
                pairs = zip(weights, trajectory[1:-1], strict=True)
                return tf.add_n([last * losses, *(w * query_losses(fast) for w, fast in pairs)])

            is_early = self.iteration < self.multi_step_iterations
            losses = tf.cond(is_early, of_all_steps, lambda: losses)
        return losses, losses if support_losses is None else support_losses

    test_loss = GradientBased.meta_loss
