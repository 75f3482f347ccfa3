"""What the inner loop asks of a base network f (parameters theta)."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.dense import FastLayer
from mmaml_tf.layers.fast_weights import WeightGradient


class BaseNetwork(keras.layers.Layer):
    """What the inner loop needs of a network.

    `forward` returns the outputs and a trace with the tensors that the inner loss is to be
    differentiated in ("leaves"); `gradients` turns what the tape says of them into one gradient
    per layer; `updated`, of the fast weights, takes the step. These are tensors, never assigned
    variables.
    """

    def prior(self, groups: tf.Tensor | None = None) -> list[Any]:
        """theta as fast weights, one entry per adaptable layer.

        Args:
          groups: [tasks] int, picks one of the network's groups of slow weights for every task;
            None if there is one group, or if the tasks are sorted into equal groups.
        """
        raise NotImplementedError

    def forward(
        self,
        x: tf.Tensor,
        fast: list[Any],
        tau: Sequence[tf.Tensor] | None = None,
        watch: Callable[[tf.Tensor], None] | None = None,
    ) -> tuple[tf.Tensor, list[Any]]:
        """f(x; theta', tau) and the trace of the pass.

        Args:
          x: [tasks, N, in_dim].
          fast: one set of fast weights per adaptable layer.
          tau: modulation parameters, one [tasks, ...] tensor per modulated block; None for none.
          watch: told of every leaf (a gradient tape's `watch`).
        """
        raise NotImplementedError

    def predict(
        self,
        query_x: tf.Tensor,
        fast: list[Any],
        tau: Sequence[tf.Tensor] | None,
        support_x: tf.Tensor,
    ) -> tf.Tensor:
        """f(x; theta', tau) on query inputs.

        The support inputs are for networks whose predictions depend on a set (batch norm).
        """
        return self.forward(query_x, fast, tau)[0]

    def leaves(self, trace: list[Any]) -> list[tf.Tensor]:
        """The tensors of a trace that the inner loss is differentiated in.

        By default a trace is the fast weights, `copies_per_task`, and their tensors are the leaves.
        """
        return tf.nest.flatten(trace)

    def gradients(self, trace: list[Any], leaf_gradients: list[tf.Tensor]) -> list[Any]:
        """One parameter gradient per adaptable layer."""
        parts = iter(leaf_gradients)
        return [
            WeightGradient(tuple(next(parts) for _ in tf.nest.flatten(weights)))
            for weights in trace
        ]


def copies_per_task(
    fast: list[Any], num_tasks: int | tf.Tensor, watch: Callable[[tf.Tensor], None] | None = None
) -> list[Any]:
    """Fast weights [1 or tasks, ...] with a copy for every task: [tasks, ...].

    A tape told to `watch` them gives every task its own gradient.
    """

    def copied(part: tf.Tensor) -> tf.Tensor:
        if not isinstance(num_tasks, int) or part.shape[0] != num_tasks:
            part = tf.broadcast_to(part, [num_tasks, *part.shape[1:]])
        if watch is not None:
            watch(part)
        return part

    return tf.nest.map_structure(copied, fast)


class LayeredNetwork(BaseNetwork):
    """A network of `FastLayer`s."""

    @property
    def fast_layers(self) -> Sequence[FastLayer]:
        """All adaptable layers, first to last."""
        raise NotImplementedError

    def prior(self, groups: tf.Tensor | None = None) -> list[Any]:
        """theta as fast weights, one entry per layer."""
        return [layer.prior(groups) for layer in self.fast_layers]

    def call(self, x: tf.Tensor, tau: Sequence[tf.Tensor] | None = None) -> tf.Tensor:
        """f(x; theta, tau): [tasks, N, in_dim] -> [tasks, N, output_units]."""
        return self.forward(x, self.prior(), tau)[0]
