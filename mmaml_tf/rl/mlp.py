"""The policy's network, until the policy is a Keras model (`gaussian_policy`)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import grouped_affine, num_tasks_of, per_task
from mmaml_tf.layers.gradients import Gradient, OuterProductGradient, WeightGradient
from mmaml_tf.layers.modulation import Modulation
from mmaml_tf.networks.base_network import BaseNetwork


class MaterialisedWeights(NamedTuple):
    """Kernel [1 or tasks, in, out] and bias [1 or tasks, out]."""

    kernel: tf.Tensor
    bias: tf.Tensor

    def apply(self, x: tf.Tensor) -> tf.Tensor:
        """z = x W' + b': [tasks, N, in] -> [tasks, N, out]."""
        return grouped_affine(x, self.kernel, self.bias)

    def updated(self, gradient: Gradient, step_size: float | tf.Tensor) -> Self:
        """W' - step_size * gradient. `step_size` is a scalar or [tasks]."""
        kernel, bias = gradient.formed().parts
        step_size = tf.reshape(step_size, [-1, 1])
        return type(self)(self.kernel - step_size[:, None] * kernel, self.bias - step_size * bias)


class BiasVector(NamedTuple):
    """A vector appended to every input row: [1 or tasks, size]."""

    vector: tf.Tensor

    def apply(self, x: tf.Tensor) -> tf.Tensor:
        """[tasks, N, in] -> [tasks, N, in + size]."""
        vector = per_task(self.vector, num_tasks_of(x))[:, None]
        shape = tf.concat([tf.shape(x)[:2], tf.shape(vector)[2:]], 0)
        return tf.concat([x, tf.broadcast_to(vector, shape)], -1)

    def updated(self, gradient: WeightGradient, step_size: float | tf.Tensor) -> Self:
        """b' - step_size * gradient. `step_size` is a scalar or [tasks]."""
        (vector,) = gradient.parts
        return type(self)(self.vector - tf.reshape(step_size, [-1, 1]) * vector)


class FastDense(keras.layers.Layer):
    """z = x W' + b', with one (W', b') per task; variables have a leading axis of one."""

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.get("glorot_uniform")

    def build(self, input_shape: tuple) -> None:
        """Creates kernel [1, in, units] and bias [1, units]."""

        def initial(shape: tuple, dtype: str | None = None) -> tf.Tensor:
            return self.kernel_initializer.clone()(shape[1:], dtype)[None]

        self.kernel = self.add_weight(
            name="kernel", shape=(1, input_shape[-1], self.units), initializer=initial
        )
        self.bias = self.add_weight(name="bias", shape=(1, self.units), initializer="zeros")

    def prior(self) -> MaterialisedWeights:
        """theta as fast weights."""
        return MaterialisedWeights(
            tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        )

    def gradient(self, inputs: tf.Tensor, output_gradient: tf.Tensor) -> Gradient:
        """X^T D and sum_n D_n, as an outer product that is not formed."""
        return OuterProductGradient(inputs, output_gradient)


class LogStddevVector(keras.layers.Layer):
    """Appends log sigma to every mean."""

    def __init__(self, size: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape: tuple) -> None:
        """Creates the vector, [1, size]."""
        self.vector = self.add_weight(name="vector", shape=(1, self.size), initializer="zeros")

    def prior(self) -> BiasVector:
        """theta as fast weights."""
        return BiasVector(tf.convert_to_tensor(self.vector))

    def gradient(self, inputs: tf.Tensor, output_gradient: tf.Tensor) -> Gradient:
        """The appended columns' gradient, summed over the rows."""
        return WeightGradient((tf.reduce_sum(output_gradient[..., -self.size :], 1),))


class MLP(BaseNetwork):
    """Fully connected network whose hidden layers can be modulated; differentiated at outputs."""

    def __init__(
        self,
        hidden_units: Sequence[int],
        output_units: int,
        modulation: Modulation | None = None,
        activation: str = "relu",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.output_units = output_units
        self.modulation = modulation
        self.activation = keras.activations.get(activation)
        self.built_layers: list[Any] = []

    @property
    def fast_layers(self) -> list[Any]:
        """All adaptable layers."""
        return list(self.built_layers)

    def build(self, input_shape: tuple) -> None:
        """Creates the layers for inputs [tasks, N, in_dim]."""
        width = input_shape[-1]
        for units in (*self.hidden_units, self.output_units):
            layer = FastDense(units)
            layer.build((None, None, width))
            self.built_layers.append(layer)
            width = units

    def prior(self, groups: tf.Tensor | None = None) -> list[Any]:
        """See `BaseNetwork`."""
        return [layer.prior() for layer in self.fast_layers]

    def forward(
        self,
        x: tf.Tensor,
        fast: list[Any],
        tau: Sequence[tf.Tensor] | None = None,
        watch: Callable[[tf.Tensor], None] | None = None,
    ) -> tuple[tf.Tensor, list[Any]]:
        """See `BaseNetwork`. The trace holds each layer's (input, output)."""
        if tau is not None and len(tau) != len(self.hidden_units):
            raise ValueError(
                f"{len(tau)} modulation parameters for {len(self.hidden_units)} hidden layers"
            )
        trace, h = [], x
        for index, weights in enumerate(fast):
            z = weights.apply(h)
            if watch is not None:
                watch(z)
            trace.append((h, z))
            if index < len(self.hidden_units):
                if self.modulation is not None and tau is not None:
                    z = self.modulation(z, tau[index])
                z = self.activation(z)
            h = z
        return h, trace

    def leaves(self, trace: list[Any]) -> list[tf.Tensor]:
        """The layers' outputs."""
        return [output for _, output in trace]

    def gradients(self, trace: list[Any], leaf_gradients: list[tf.Tensor]) -> list[Gradient]:
        """One gradient per layer, from its input and its output gradient."""
        return [
            layer.gradient(inputs, output_gradient)
            for layer, (inputs, _), output_gradient in zip(
                self.fast_layers, trace, leaf_gradients, strict=True
            )
        ]

    def call(self, x: tf.Tensor, tau: Sequence[tf.Tensor] | None = None) -> tf.Tensor:
        """f(x; theta, tau): [tasks, N, in_dim] -> [tasks, N, output_units]."""
        return self.forward(x, self.prior(), tau)[0]
