"""What the inner loop asks of a base network f (parameters theta)."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.dense import FastLayer


class BaseNetwork(keras.layers.Layer):
    """What the inner loop needs of a network.

    `forward` returns the outputs and a list of the tensors that the inner loss is to be
    differentiated in ("leaves"); `gradients` turns what the tape says of them into one gradient
    per layer; `updated` takes the step. Fast weights are tensors, never assigned variables.
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
        """The tensors of a trace that the inner loss is differentiated in."""
        raise NotImplementedError

    def gradients(self, trace: list[Any], leaf_gradients: list[tf.Tensor]) -> list[Any]:
        """One parameter gradient per adaptable layer."""
        raise NotImplementedError


class LayeredNetwork(BaseNetwork):
    """A network of `FastLayer`s, each differentiated at its output.

    The trace of a pass holds each layer's (input, output).
    """

    @property
    def fast_layers(self) -> list[FastLayer]:
        """All adaptable layers, first to last."""
        raise NotImplementedError

    def prior(self, groups: tf.Tensor | None = None) -> list[Any]:
        """theta as fast weights, one entry per layer."""
        return [layer.prior(groups) for layer in self.fast_layers]

    def call(self, x: tf.Tensor, tau: Sequence[tf.Tensor] | None = None) -> tf.Tensor:
        """f(x; theta, tau): [tasks, N, in_dim] -> [tasks, N, output_units]."""
        return self.forward(x, self.prior(), tau)[0]

    def leaves(self, trace: list[Any]) -> list[tf.Tensor]:
        """The layers' outputs."""
        return [output for _, output in trace]

    def gradients(self, trace: list[Any], leaf_gradients: list[tf.Tensor]) -> list[Any]:
        """One gradient per layer, from its input and its output gradient."""
        return [
            layer.gradient(inputs, output_gradient)
            for layer, (inputs, _), output_gradient in zip(
                self.fast_layers, trace, leaf_gradients, strict=True
            )
        ]
