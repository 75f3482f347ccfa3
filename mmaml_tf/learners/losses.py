"""Losses and scores, one number per task."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf

TaskLoss: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def mean_squared_error(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Mean over points and dimensions: [tasks, N, ...] twice -> [tasks]."""
    return _task_means((targets - outputs) ** 2)


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean over examples of -log softmax(logits)[label], in nats.

    Args:
      labels: [tasks, N, ...] integers, 0 ... classes - 1.
      logits: [tasks, N, ..., classes].

    Returns:
      [tasks].
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return _task_means(losses)


def accuracy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Share of examples whose largest logit is their label's: [tasks]; arguments as above."""
    is_right = tf.equal(labels, tf.argmax(logits, -1, output_type=labels.dtype))
    return _task_means(tf.cast(is_right, logits.dtype))


def _task_means(values: tf.Tensor) -> tf.Tensor:
    """[tasks, ...] -> [tasks]."""
    return tf.reduce_mean(values, list(range(1, values.shape.rank)))


class Targets(NamedTuple):
    """What one example's target is: the loss says it.

    Attributes:
      shape: of it.
      dtype: of its numbers.
      num_classes: where it is a label; None for other targets.
    """

    shape: tuple[int, ...]
    dtype: str
    num_classes: int | None = None


# By these names, ours: they are exact in second derivatives and take logits.
OWN: dict[str, TaskLoss] = {
    "mse": mean_squared_error,
    "mean_squared_error": mean_squared_error,
    "cross_entropy": cross_entropy,
    "accuracy": accuracy,
}
# Of labels: whole numbers, one for an example.
TAKE_LOGITS = ("cross_entropy", cross_entropy)
TAKE_SHARES = ("sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy)


def per_task(loss: Any) -> TaskLoss:
    """A loss (or metric) as (targets, outputs) [tasks, N, ...] -> [tasks].

    Args:
      loss: "mse", "cross_entropy" (of logits, with integer labels) or "accuracy", any loss or
        metric that Keras has by name, a Keras object, or a function of (targets, outputs) with one
        number per task or example. A function of labels has `takes_labels = True` for an attribute.

    Raises:
      ValueError: if Keras knows no such loss; when called, if it is one number for all tasks.
    """
    if isinstance(loss, str) and loss in OWN:
        return OWN[loss]
    if loss in OWN.values():
        return loss
    found = loss
    if not callable(loss):
        try:
            found = keras.losses.get(loss)
        except ValueError:
            found = _metric(loss) if isinstance(loss, str) else keras.metrics.get(loss)
    function = found
    if isinstance(found, keras.losses.Loss):
        function = found.call
    elif isinstance(found, keras.metrics.MeanMetricWrapper):
        # What it keeps a mean of, which Keras gives no other way.
        function = functools.partial(found._fn, **found._fn_kwargs)

    def mean(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        values = tf.convert_to_tensor(function(targets, outputs))
        if values.shape.rank == 0:
            raise ValueError(
                f"loss {loss}: returns one number for all tasks; it must return one for each task "
                "or example, [tasks] or [tasks, N]"
            )
        return _task_means(values)

    return mean


def _metric(name: str) -> Any:
    try:
        return keras.metrics.get(name)
    except ValueError as error:
        raise ValueError(
            f"{name!r} is no loss or metric: choose from {', '.join(OWN)}, or those of Keras"
        ) from error


def targets_of(loss: Any, model: keras.Model, num_outputs: int | None = None) -> Targets:
    """What the targets of a model's outputs are: labels for a loss that takes those, else like the
    outputs, whose width is `num_outputs` where the model is an embedding alone."""
    shape = tuple(model.output_shape[1:])
    if num_outputs is not None:
        shape = (*shape[:-1], num_outputs)
    of_keras = isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
    takes_logits = loss in TAKE_LOGITS or (of_keras and loss.from_logits)
    takes_shares = loss in TAKE_SHARES or (of_keras and not loss.from_logits)
    if num_outputs is None and takes_logits and _ends_in_softmax(model):
        warnings.warn(
            f"{model.name}: ends in a softmax, but its loss takes logits; leave it out",
            stacklevel=2,
        )
    if num_outputs is None and takes_shares and not _ends_in_softmax(model):
        warnings.warn(
            f"{model.name}: does not end in a softmax, but its loss takes probabilities; "
            'loss="cross_entropy" takes logits',
            stacklevel=2,
        )
    if takes_logits or takes_shares or getattr(loss, "takes_labels", False):
        return Targets(shape[:-1], "int32", shape[-1])
    return Targets(shape, model.compute_dtype)


def _ends_in_softmax(model: keras.Model) -> bool:
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    return isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax
