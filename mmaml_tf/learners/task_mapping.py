"""One task at a time: `tf.map_fn` over the tasks of a batch, instead of one batched computation.

Per-task kernels make a batched convolution a product of image patches that a CPU computes slower
than ordinary convolutions, one task after the other on each core (`benchmarks/conv_step.py`; run
with one intra-op thread, so that it is the tasks that share the cores). The meta-gradient

    d/dtheta  1/M sum_j L_j(theta, tau_j)  =  1/M sum_j dL_j/dtheta

is taken inside the map, where every task's tape ends with the task, and averaged outside. The
modulation parameters tau_j come from the task encoder before the map: each task returns
dL_j/dtau_j, and the encoder is backpropagated once, by those.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.missing import reject_missing
from mmaml_tf.tasks import Examples, TaskBatch

# The encoder's pass over a batch is cut into so many, for the cores to share.
ENCODER_PARTS = 4

MetaLoss = Callable[[TaskBatch, Tau], tuple[tf.Tensor, tf.Tensor]]


def mapped_meta_gradients(
    meta_loss: MetaLoss,
    infer_tau: Callable[[Examples], Tau],
    groups: list[list[keras.Variable]],
    batch: TaskBatch,
    completed: Callable[[list[keras.Variable], list[Any]], list[Any]] = reject_missing,
) -> tuple[tf.Tensor, tf.Tensor, list[list[tf.Tensor]]]:
    """The meta-gradient, task by task.

    Args:
      meta_loss: a batch of one task, and its tau -> query and support loss, [1] each.
      infer_tau: support sets -> tau, one [tasks, ...] tensor per block; None without encoder.
      groups: theta, and omega if there is tau; without, theta of several models, perhaps.
      batch: of tasks.
      completed: theta and its gradients -> the same with what stands for missing ones.

    Returns:
      The query losses after the inner loop and the support losses before it, each [tasks], and the
      gradient of the mean query loss in each group.
    """
    with tf.GradientTape() as encoder_tape:
        tau = _in_parts(infer_tau, batch.support)
    inside, omega = (groups[:1], groups[1:]) if tau else (groups, [])
    theta = [variable for group in inside for variable in group]

    def one_task(task: tuple[TaskBatch, list[tf.Tensor]]) -> tuple:
        single, task_tau = _with_task_axis(task)
        with tf.GradientTape() as tape:
            tape.watch(task_tau)
            query_loss, support_loss = meta_loss(single, task_tau or None)
        of_theta, of_tau = tape.gradient(query_loss, (theta, task_tau))
        of_theta = completed(theta, of_theta)
        return query_loss[0], support_loss[0], of_theta, [gradient[0] for gradient in of_tau]

    dtype = theta[0].dtype
    query_losses, support_losses, theta_gradients, tau_gradients = tf.map_fn(
        one_task,
        (batch, tau),
        fn_output_signature=(dtype, dtype, [dtype] * len(theta), [dtype] * len(tau)),
    )
    means = iter([tf.reduce_mean(gradient, 0) for gradient in theta_gradients])
    gradients = [[next(means) for _ in group] for group in inside]
    if omega:
        num_tasks = tf.cast(tf.shape(query_losses)[0], dtype)
        gradients += encoder_tape.gradient(
            tau, omega, output_gradients=[gradient / num_tasks for gradient in tau_gradients]
        )
    return query_losses, support_losses, gradients


def mapped_predictions(
    predictions: Callable[[Examples, tf.Tensor, Tau, tf.Tensor | None], tf.Tensor],
    support: Examples,
    query_x: tf.Tensor,
    tau: Tau,
    mode: tf.Tensor | None,
    dtype: str,
) -> tf.Tensor:
    """Query predictions after every step, task by task: [S + 1, tasks, N, ...].

    Args:
      predictions: the support set of one task, its query inputs, its tau and its mode -> the
        predictions, [S + 1, 1, N, ...].
      support: of all tasks.
      query_x: [tasks, N, ...].
      tau: of all tasks, or None.
      mode: likewise.
      dtype: of the predictions.
    """

    def one_task(task: tuple[Examples, tf.Tensor, list[tf.Tensor], list[tf.Tensor]]) -> tf.Tensor:
        single, single_query_x, task_tau, task_mode = _with_task_axis(task)
        own_mode = task_mode[0] if task_mode else None
        return predictions(single, single_query_x, task_tau or None, own_mode)[:, 0]

    modes = [] if mode is None else [mode]
    outputs = tf.map_fn(one_task, (support, query_x, tau or [], modes), fn_output_signature=dtype)
    return tf.einsum("ts...->st...", outputs)


def _in_parts(infer_tau: Callable[[Examples], Tau], support: Examples) -> list[tf.Tensor]:
    """tau of every task, one [tasks, ...] tensor per block; empty without a task encoder."""
    num_tasks = support.x.shape[0]
    if num_tasks is None:
        return infer_tau(support) or []
    sizes = [len(part) for part in np.array_split(range(num_tasks), min(num_tasks, ENCODER_PARTS))]
    parts = zip(tf.split(support.x, sizes), tf.split(support.y, sizes), strict=True)
    taus = [infer_tau(Examples(*part)) or [] for part in parts]
    return [tf.concat(blocks, 0) for blocks in zip(*taus, strict=True)]


def _with_task_axis(task: Any) -> Any:
    """A map's element as a batch of one task."""
    return tf.nest.map_structure(lambda tensor: tensor[None], task)
