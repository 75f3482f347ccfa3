"""Reptile: towards where a few steps of ordinary training lead. [Reptile]"""

import functools
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast
from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.gradient_based import GradientBased
from mmaml_tf.learners.inner_loop import norm_clip_factor
from mmaml_tf.learners.mini_batches import adam_directions, mini_batches
from mmaml_tf.learners.options import INNER_OPTIMIZERS, require_one_of
from mmaml_tf.methods import Settings, register
from mmaml_tf.tasks import Examples, TaskBatch

PUBLISHED = dict(meta_lr=1.0, lr_schedule="linear")


def regression_settings(settings: Settings) -> Settings:
    """Published are those of sine waves of 50 points. On two modes of five, after 6,000 iterations,
    the error of SGD at 0.003 was 3.88, at 0.01 4.25, of Adam at 0.01 4.22. One step, as `sinusoid`
    has it for others, would be ordinary training on all tasks at once."""
    steps = max(5, settings["inner_steps"])
    own = dict(meta_clip_norm=None, inner_lr=0.003, inner_optimizer="sgd", inner_steps=steps)
    return PUBLISHED | own


def omniglot_settings(settings: Settings) -> Settings:
    """[Reptile] Table 4: ten images of every class to train on, support and query images together.
    Fewer validation tasks, as each takes 50 steps (choice)."""
    many = settings["num_ways"] >= 20
    return PUBLISHED | dict(
        iterations=200_000 if many else 100_000,
        meta_batch_size=5,
        inner_steps=10 if many else 5,
        inner_lr=0.0005 if many else 0.001,
        inner_batch_size=20 if many else 10,
        eval_batch_size=10 if many else 5,
        num_queries=max(10 - settings["num_shots"], 1),
        eval_steps=50,
        validation_tasks=100,
    )


def mini_imagenet_settings(settings: Settings) -> Settings:
    """[Reptile] Table 4: 15 images of every class to train on; tasks of each mode as many as
    published; validation tasks as above."""
    num_modes = max(1, len(settings["modes"]))
    return PUBLISHED | dict(
        iterations=100_000,
        meta_batch_size=5 * num_modes,
        meta_clip_value=None,
        inner_steps=8,
        inner_lr=0.001,
        inner_batch_size=10,
        eval_batch_size=5 if settings["num_shots"] == 1 else 15,
        num_queries=max(15 - settings["num_shots"], 1),
        eval_steps=50,
        validation_tasks=50 * num_modes,
    )


@register("reptile", "regression", "classification")
class Reptile(GradientBased):
    """theta <- theta + epsilon mean_j(theta'_j - theta), with theta'_j after k steps on
    mini-batches of all of a task's points (Nichol, Achiam, Schulman 2018, arXiv:1803.02999).

    No derivative of the steps is taken. The mini-batches go through the points in an order that
    depends on the iteration alone. `compile(keras.optimizers.SGD(epsilon))` makes that update.

    Args:
      model: the base network.
      inner_optimizer: of INNER_OPTIMIZERS; Adam as published, but from rest in every task, where
        their code keeps its second moments from task to task (choice).
      inner_batch_size: points of a step, all where there are fewer.
      eval_batch_size: of a step on a support set; None for `inner_batch_size`.
      **settings: see `GradientBased`; steps have one rate and no derivatives.
    """

    SETTINGS: tuple[str, ...] = ("inner_loop", "mini_batches")
    PUBLISHED = {
        "regression": regression_settings,
        "omniglot": omniglot_settings,
        "image_sets": mini_imagenet_settings,
    }
    optimizer_class = keras.optimizers.SGD

    def __init__(
        self,
        model: keras.Model,
        *,
        inner_optimizer: str = "adam",
        inner_batch_size: int = 10,
        eval_batch_size: int | None = None,
        **settings: Any,
    ):
        settings["fast_weights"] = "materialised"
        super().__init__(model, first_order=True, learned_rates=False, **settings)
        require_one_of("inner_optimizer", inner_optimizer, INNER_OPTIMIZERS)
        self.is_adam = inner_optimizer == "adam"
        self.inner_batch_size = inner_batch_size
        self.eval_batch_size = inner_batch_size if eval_batch_size is None else eval_batch_size

    def meta_gradients(
        self, batch: TaskBatch
    ) -> tuple[tf.Tensor, tf.Tensor, list[list[tf.Tensor]]]:
        """Losses of all points after and before the steps, and theta - mean theta' as gradient."""
        batch = self.fitted(batch)
        points, theta = batch.points(), self.network.model.trainable_variables

        def led_to(points: Examples) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
            trajectory, before = self.trajectory(
                points,
                None,
                self.inner_loop.num_steps,
                seed=self.iteration,
                batch_size=self.inner_batch_size,
            )
            outputs, _ = self.network.forward(points.x, trajectory[-1])
            after = self.task_loss(points.y, outputs)
            ends = self.network.in_order(trajectory[-1])
            return after, after if before is None else before, ends

        if self.map_tasks:
            dtype = self.network.compute_dtype
            after, before, ends = tf.map_fn(
                lambda one: tf.nest.map_structure(
                    lambda part: part[0], led_to(Examples(*(part[None] for part in one)))
                ),
                points,
                fn_output_signature=(dtype, dtype, [dtype] * len(theta)),
            )
        else:
            after, before, ends = led_to(points)
        pairs = zip(theta, ends, strict=True)
        return after, before, [[start - tf.reduce_mean(end, 0) for start, end in pairs]]

    def trajectory(
        self,
        support: Examples,
        tau: Tau,
        num_steps: int,
        mode: tf.Tensor | None = None,
        seed: int | tf.Tensor = 0,
        batch_size: int | None = None,
    ) -> tuple[list[Fast], tf.Tensor | None]:
        """See `GradientBased`; `seed` decides the order of the points, and `batch_size` how many a
        step has: by default as many as at evaluation."""
        fast, second_moments, first_losses = self.network.prior(), None, None
        trajectory = [fast]
        number = support.x.shape[1] or tf.shape(support.x)[1]
        order = mini_batches(number, num_steps, batch_size or self.eval_batch_size, seed)
        for step in range(num_steps):
            x, y = (tf.gather(part, order[step], axis=1) for part in support)
            gradients, losses = self.inner_loop.gradients(
                self.network, fast, tau, x, functools.partial(self.task_loss, y)
            )
            formed = [gradient.formed() for gradient in gradients]
            if self.inner_loop.clip_norm is not None:
                factor = norm_clip_factor(formed, self.inner_loop.clip_norm)
                formed = [gradient.of_each_task(factor) for gradient in formed]
            if self.is_adam:
                formed, second_moments = adam_directions(formed, second_moments, step + 1)
            rate = tf.constant(self.inner_loop.learning_rate, losses.dtype)
            fast = self.inner_loop.updated(self.network, fast, formed, rate)
            trajectory.append(fast)
            first_losses = losses if first_losses is None else first_losses
        return trajectory, first_losses
