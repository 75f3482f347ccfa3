"""Dense layer and bias transformation with fast weights."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import (
    BiasVector,
    FactoredWeights,
    MaterialisedWeights,
    OuterProductGradient,
    WeightGradient,
)


class FastLayer(keras.layers.Layer):
    """A layer that an inner loop can adapt."""

    def prior(self, groups: tf.Tensor | None = None) -> Any:
        """theta as fast weights. `groups` [tasks] picks one of the layer's groups per task."""
        raise NotImplementedError


class TracedLayer(FastLayer):
    """A layer that knows its parameter gradient from what it saw and its output's gradient.

    The inner loop then differentiates the support loss at the layer's *output*, and the gradient
    of a dense layer can stay an outer product.
    """

    def gradient(self, inputs: tf.Tensor, output_gradient: tf.Tensor) -> Any:
        """The gradient of every task's loss in this layer's parameters."""
        raise NotImplementedError

    def _slow(self, variable: keras.Variable, groups: tf.Tensor | None) -> tf.Tensor:
        value = tf.convert_to_tensor(variable)
        return value if groups is None else tf.gather(value, groups)


class FastDense(TracedLayer):
    """z = x W' + b', with one (W', b') per task.

    Args:
      units: width of the output.
      weights_form: `FactoredWeights` or `MaterialisedWeights`; the results are the same.
      num_groups: how many independent sets of slow weights the layer holds. Multi-MAML has one
        per mode; tasks come sorted by mode, so group g serves the g-th equal part of the batch.
      kernel_initializer: a Keras initializer, or its name.
    """

    def __init__(
        self,
        units: int,
        weights_form: type[FactoredWeights] | type[MaterialisedWeights] = FactoredWeights,
        num_groups: int = 1,
        kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.weights_form = weights_form
        self.num_groups = num_groups
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple) -> None:
        """Creates kernel [groups, in, units] and bias [groups, units]."""
        fan_in = input_shape[-1]

        def independent_groups(shape: tuple, dtype: str | None = None) -> tf.Tensor:
            # One by one, as a fan-in initializer must not see the group axis; each with a copy,
            # as an initializer repeats its draw.
            copies = [self.kernel_initializer.clone() for _ in range(shape[0])]
            return tf.stack([copy(shape[1:], dtype) for copy in copies])

        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_groups, fan_in, self.units),
            initializer=independent_groups,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.num_groups, self.units), initializer="zeros"
        )

    def prior(self, groups: tf.Tensor | None = None) -> FactoredWeights | MaterialisedWeights:
        """theta as fast weights."""
        return self.weights_form.prior(
            self._slow(self.kernel, groups), self._slow(self.bias, groups)
        )

    def call(
        self, x: tf.Tensor, fast: FactoredWeights | MaterialisedWeights | None = None
    ) -> tf.Tensor:
        """[tasks, N, in] -> [tasks, N, units]; without fast weights, with theta."""
        return (fast if fast is not None else self.prior()).apply(x)

    def gradient(self, inputs: tf.Tensor, output_gradient: tf.Tensor) -> OuterProductGradient:
        """X^T D and sum_n D_n, as an outer product that is not formed."""
        return OuterProductGradient(inputs, output_gradient)


class BiasTransformation(TracedLayer):
    """Appends a learned vector, which adapts with the rest, to every input: [x, b'].

    Gives MAML's first layer a bias whose gradient is decoupled from the others' (one-shot
    imitation learning, Finn et al. 2017b); MAML and Multi-MAML use it in the regression tasks.
    """

    def __init__(self, size: int, num_groups: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.num_groups = num_groups

    def build(self, input_shape: tuple) -> None:
        """Creates the vector, [groups, size]."""
        self.vector = self.add_weight(
            name="vector", shape=(self.num_groups, self.size), initializer="zeros"
        )

    def prior(self, groups: tf.Tensor | None = None) -> BiasVector:
        """theta as fast weights."""
        return BiasVector(self._slow(self.vector, groups))

    def call(self, x: tf.Tensor, fast: BiasVector | None = None) -> tf.Tensor:
        """[tasks, N, in] -> [tasks, N, in + size]."""
        return (fast if fast is not None else self.prior()).apply(x)

    def gradient(self, inputs: tf.Tensor, output_gradient: tf.Tensor) -> WeightGradient:
        """The appended columns' gradient, summed over the rows."""
        return WeightGradient((tf.reduce_sum(output_gradient[..., -self.size :], 1),))
