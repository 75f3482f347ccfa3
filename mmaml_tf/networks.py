"""The fully connected base network, with or without modulation."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.base_network import LayeredNetwork
from mmaml_tf.layers.dense import BiasTransformation, FastDense, TracedLayer
from mmaml_tf.layers.fast_weights import FactoredWeights, MaterialisedWeights
from mmaml_tf.layers.modulation import Modulation


class MLP(LayeredNetwork):
    """Fully connected network whose hidden layers can be modulated.

    Hidden layer i: a(modulation(h W_i + b_i, tau_i)); the output layer is linear. The inner loss
    is differentiated at the layers' outputs.

    Args:
      hidden_units: width of each hidden layer.
      output_units: width of the output.
      modulation: applied before the nonlinearity of every hidden layer, or None.
      bias_transformation_size: length of the learned vector appended to the input; 0 for none.
      rows_seen: support rows times gradient steps, which decides per layer whether its fast
        weights are factored or materialised; None materialises all.
      num_groups: independent sets of slow weights (Multi-MAML: one per mode).
      activation: of the hidden layers.
      kernel_initializer: of all layers.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        output_units: int,
        modulation: Modulation | None = None,
        bias_transformation_size: int = 0,
        rows_seen: int | None = None,
        num_groups: int = 1,
        activation: str = "relu",
        kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.output_units = output_units
        self.modulation = modulation
        self.bias_transformation_size = bias_transformation_size
        self.rows_seen = rows_seen
        self.num_groups = num_groups
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = kernel_initializer
        self.built_layers: list[TracedLayer] = []

    @property
    def fast_layers(self) -> list[TracedLayer]:
        """The bias transformation, if there is one, the dense layers, and a subclass's own."""
        return list(self.built_layers)

    def build(self, input_shape: tuple) -> None:
        """Creates the layers for inputs [tasks, N, in_dim]."""
        width = input_shape[-1]
        if self.bias_transformation_size:
            transformation = BiasTransformation(
                self.bias_transformation_size, num_groups=self.num_groups
            )
            transformation.build((None, None, width))
            self.built_layers.append(transformation)
            width += self.bias_transformation_size
        for units in (*self.hidden_units, self.output_units):
            layer = FastDense(
                units,
                weights_form=weights_form(width, units, self.rows_seen),
                num_groups=self.num_groups,
                kernel_initializer=self.kernel_initializer,
            )
            layer.build((None, None, width))
            self.built_layers.append(layer)
            width = units

    def forward(
        self,
        x: tf.Tensor,
        fast: list[Any],
        tau: Sequence[tf.Tensor] | None = None,
        watch: Callable[[tf.Tensor], None] | None = None,
    ) -> tuple[tf.Tensor, list[Any]]:
        """See `BaseNetwork`. The trace holds each layer's (input, output).

        Raises:
          ValueError: if tau does not have one entry per hidden layer, or nothing to apply it.
        """
        if tau is not None and len(tau) != len(self.hidden_units):
            raise ValueError(
                f"{len(tau)} modulation parameters for {len(self.hidden_units)} hidden layers; "
                "every hidden layer needs exactly one"
            )
        if tau is not None and self.modulation is None:
            raise ValueError("modulation parameters given to a network that has no modulation")
        trace = []
        h = x
        num_appending = 1 if self.bias_transformation_size else 0
        for index, (layer, weights) in enumerate(zip(self.fast_layers, fast, strict=True)):
            z = layer(h, weights)
            if watch is not None:
                watch(z)
            trace.append((h, z))
            block = index - num_appending
            if 0 <= block < len(self.hidden_units):
                if self.modulation is not None and tau is not None:
                    z = self.modulation(z, tau[block])
                z = self.activation(z)
            h = z
        return h, trace

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


def weights_form(
    fan_in: int, fan_out: int, rows_seen: int | None
) -> type[FactoredWeights] | type[MaterialisedWeights]:
    """The cheaper fast-weight form of a dense layer.

    N rows cost N (in + out) numbers per task in factored form, the kernel in * out; the form with
    fewer numbers is taken (choice). `benchmarks/meta_step.py` times it against materialising all.
    """
    if rows_seen is not None and rows_seen * (fan_in + fan_out) < fan_in * fan_out:
        return FactoredWeights
    return MaterialisedWeights
