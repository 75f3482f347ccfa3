"""What the inner loop asks of a base network f (parameters theta)."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.gradients import Gradient


class BaseNetwork(keras.layers.Layer):
    """What the inner loop needs of a network.

    `forward` returns the outputs and a trace with the tensors that the inner loss is to be
    differentiated in ("leaves"); `gradients` turns what the tape says of them into one gradient
    per layer; `updated`, of the fast weights, takes the step. These are tensors, never assigned
    variables.
    """

    def prior(self, groups: tf.Tensor | None = None, rows_seen: int | None = None) -> list[Any]:
        """theta as fast weights, one entry per adaptable layer.

        Args:
          rows_seen: support examples times gradient steps, which decides per dense layer whether
            its fast weights are factored or multiplied out; None multiplies all out.
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
          x: [tasks, N, ...].
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
        raise NotImplementedError

    def leaves(self, trace: list[Any]) -> list[tf.Tensor]:
        """The tensors of a trace that the inner loss is differentiated in."""
        raise NotImplementedError

    def gradients(self, trace: list[Any], leaf_gradients: list[tf.Tensor]) -> list[Gradient]:
        """One parameter gradient per adaptable layer."""
        raise NotImplementedError
