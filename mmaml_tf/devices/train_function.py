"""What `fit` calls for workers instead of Keras's own, whose nested strategies lose the mean."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf


def train_function(learner: keras.Model) -> Callable[[Iterator], dict[str, tf.Tensor]]:
    """An iterator over batches -> the logs of the next `steps_per_execution` training steps.

    XLA compiles the meta-gradient alone: it can't compile what crosses processes.
    """
    if learner.run_eagerly:
        return lambda iterator: learner.train_step(next(iterator))
    if learner.jit_compile:
        learner.meta_gradients = tf.function(
            learner.meta_gradients, jit_compile=True, autograph=False
        )

    train_step = tf.autograph.experimental.do_not_convert(learner.train_step)

    @tf.function
    def steps(iterator: Any) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        done = 0
        logs = {metric.name: tf.constant(0.0, metric.dtype) for metric in learner.metrics}
        for _ in tf.range(learner.steps_per_execution):
            batch = iterator.get_next_as_optional()
            if batch.has_value():
                logs = logs | train_step(batch.get_value())
                done += 1
        return done, logs

    def call(iterator: Iterator) -> dict[str, tf.Tensor]:
        done, logs = steps(iterator)
        if done == 0:
            raise StopIteration
        return logs

    return call
