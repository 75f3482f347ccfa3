"""The average of networks that were each trained on one task. [MAML] C.1"""

import numbers
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast, TaskWeights, num_tasks_of
from mmaml_tf.layers.gradients import WeightGradient
from mmaml_tf.learners.baselines import Pretrained
from mmaml_tf.learners.inner_loop import InnerLoop
from mmaml_tf.learners.mini_batches import adam_directions
from mmaml_tf.learners.options import DECAYS, require_at_least, require_one_of
from mmaml_tf.methods import Settings, register
from mmaml_tf.tasks import Examples, TaskBatch

NUM_NETWORKS, NUM_POINTS = 500, 200  # of every mode; of every task (choice)


def regression_settings(settings: Settings) -> Settings:
    """500 networks, as published, 25 of a mode at a time (choice). A meta-step of rate 1 is the
    update of their mean."""
    at_once = settings["meta_batch_size"] // len(settings["modes"])
    return dict(
        iterations=max(NUM_NETWORKS // at_once, 1),
        log_every=1,
        checkpoint_every=1,
        meta_lr=1.0,
        meta_clip_norm=None,
        num_queries=NUM_POINTS - settings["num_shots"],
    )


@register("parameter_average", "regression")
class ParameterAverage(Pretrained):
    """theta = the mean of theta_1, theta_2, ..., each trained on a task of its own, from a random
    start of its own ([MAML] C.1, "multi-task"); then fine-tuned.

    An iteration trains the networks of a batch of tasks side by side, on all of their points:

        theta_j = argmin L(f(x; theta_j); T_j) + lambda |theta_j - c|^2,

    where c is zero, or the mean of the networks before it. A start is the model's own with the
    elements of every weight in another order, which is a new draw where an initializer draws them
    independently. `compile(keras.optimizers.SGD(1.0))` makes theta their mean.

    Args:
      model: the base network.
      network_steps: of every network (choice: Adam without momentum, as in `Reptile`).
      network_lr: their rate (choice).
      weight_decay: lambda; None for none.
      decay_to: of DECAYS, what c is.
      **settings: see `GradientBased`; the steps are those of the fine-tuning.

    Raises:
      ValueError: for numbers that are too low, another c, or layers that are not to adapt: a
        network is trained whole.
    """

    SETTINGS = ("inner_loop", "own_training")
    PUBLISHED = {"regression": regression_settings}
    optimizer_class = keras.optimizers.SGD

    def __init__(
        self,
        model: keras.Model,
        *,
        network_steps: int = 5_000,
        network_lr: float = 0.003,
        weight_decay: float | None = None,
        decay_to: str = "zero",
        **settings: Any,
    ):
        if settings.get("adapts") is not None:
            raise ValueError("adapts: every network is trained whole; leave it out")
        super().__init__(model, **settings)
        require_at_least("network_steps", network_steps, 1, numbers.Integral)
        require_at_least("network_lr", network_lr, 0)
        if weight_decay is not None:
            require_at_least("weight_decay", weight_decay, 0)
        require_one_of("decay_to", decay_to, DECAYS)
        self.network_steps = network_steps
        self.network_lr = network_lr
        self.weight_decay = weight_decay
        self.decay_to = decay_to
        # Kept, as theta does not stay what it was.
        self.starts = [
            [
                self.add_weight(
                    name=f"start_{layer.name}_{weight.name}",
                    shape=weight.shape,
                    initializer=lambda shape, dtype, value=weight: tf.convert_to_tensor(value),
                    trainable=False,
                )
                for weight in layer.trainable_variables
            ]
            for layer in self.network.plan.layers
        ]

    def meta_gradients(
        self, batch: TaskBatch
    ) -> tuple[tf.Tensor, tf.Tensor, list[list[tf.Tensor]]]:
        """Losses after and before the networks' training, and as gradient what a step of rate 1
        takes from theta to become the mean of all networks so far."""
        points = self.fitted(batch).points()
        start = self.fresh(num_tasks_of(points.x))
        end = self.trained(start, points)
        before, after = (
            self.task_loss(points.y, self.network.forward(points.x, fast)[0])
            for fast in (start, end)
        )
        theta = self.network.model.trainable_variables
        share = 1 / tf.cast(self.iteration + 1, after.dtype)
        ends = zip(theta, self.network.in_order(end), strict=True)
        return after, before, [[share * (now - tf.reduce_mean(new, 0)) for now, new in ends]]

    def fresh(self, num_tasks: int | tf.Tensor) -> Fast:
        """Random starts, of this iteration's networks."""
        # Drawn for all workers, so that their number changes nothing.
        count = num_tasks * self.workers.count
        drawn, number = [], 0
        for layer in self.starts:
            parts = []
            for start in layer:
                size, seed = start.shape.num_elements(), [self.iteration, number]
                keys = tf.random.stateless_uniform([count, size], seed, alg="philox")
                order = tf.argsort(self.workers.share(keys), stable=True)
                shuffled = tf.gather(tf.reshape(start, [-1]), order)
                parts.append(tf.reshape(shuffled, [-1, *start.shape]))
                number += 1
            drawn.append(TaskWeights(tuple(parts)))
        return drawn

    def trained(self, fast: Fast, points: Examples) -> Fast:
        """The networks after `network_steps` steps on their task's points."""
        loop = InnerLoop(1, self.network_lr, first_order=True)
        centres = self.network.prior()
        decay = tf.cast(self.weight_decay or 0.0, self.network.compute_dtype)
        if self.decay_to == "zero":
            centres = tf.nest.map_structure(tf.zeros_like, centres)
        else:  # before the first batch there is no mean to be near
            decay *= tf.cast(self.iteration > 0, decay.dtype)

        def decayed(gradient: WeightGradient, own: TaskWeights, centre: TaskWeights) -> Any:
            each = zip(gradient.parts, own.parts, centre.parts, strict=True)
            return WeightGradient(tuple(part + 2 * decay * (w - c) for part, w, c in each))

        def step(number: tf.Tensor, fast: Fast, moments: Any) -> tuple[tf.Tensor, Fast, Any]:
            gradients, losses = loop.gradients(
                self.network, fast, None, points.x, lambda out: self.task_loss(points.y, out)
            )
            formed = [gradient.formed() for gradient in gradients]
            if self.weight_decay is not None:
                formed = [decayed(*each) for each in zip(formed, fast, centres, strict=True)]
            taken = tf.cast(number + 1, losses.dtype)
            directions, moments = adam_directions(formed, moments, taken)
            rate = tf.constant(self.network_lr, losses.dtype)
            return number + 1, loop.updated(self.network, fast, directions, rate), moments

        moments = [[tf.zeros_like(part) for part in weights.parts] for weights in fast]
        _, fast, _ = tf.while_loop(
            lambda number, *_: number < self.network_steps, step, (tf.constant(0), fast, moments)
        )
        return fast
