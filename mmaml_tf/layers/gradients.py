"""The gradient of every task's loss in one layer's parameters, and where it comes from.

An inner step differentiates in *leaves*: either the weights themselves, one copy per task
(`WeightTrace`), or a dense layer's outputs (`OutputTrace`), from which its gradient follows as an
outer product that need not be formed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import tensorflow as tf


class Change(Protocol):
    """What changes a layer's fast weights."""

    def of_each_task(self, factors: float | tf.Tensor) -> "Change":
        """Every task's change times a factor of the task's own, [tasks], or of all, scalar."""

    def formed(self) -> "WeightGradient":
        """One tensor per parameter."""


class Gradient(Change, Protocol):
    """What the inner loop does with a layer's gradient."""

    def squared_norm(self) -> tf.Tensor:
        """Sum of squares over the layer's parameters: [tasks]."""

    def constant(self) -> "Gradient":
        """The same numbers, not differentiated further (first-order MAML)."""


@dataclass(frozen=True)
class WeightGradient:
    """One tensor per parameter.

    Attributes:
      parts: each [tasks, ...parameter shape].
    """

    parts: tuple[tf.Tensor, ...]

    def squared_norm(self) -> tf.Tensor:
        """See `Gradient`."""
        return tf.add_n(
            [tf.reduce_sum(part**2, list(range(1, part.shape.rank))) for part in self.parts]
        )

    def constant(self) -> Self:
        """See `Gradient`."""
        return type(self)(tuple(tf.stop_gradient(part) for part in self.parts))

    def clipped_by_value(self, limit: float) -> Self:
        """Every element clamped to [-limit, limit]."""
        return type(self)(tuple(tf.clip_by_value(part, -limit, limit) for part in self.parts))

    def of_each_task(self, factors: float | tf.Tensor) -> Self:
        """See `Change`."""
        return type(self)(
            tuple(
                tf.reshape(factors, [-1] + [1] * (part.shape.rank - 1)) * part
                for part in self.parts
            )
        )

    def formed(self) -> Self:
        """Itself: nothing is left to multiply out."""
        return self


@dataclass(frozen=True)
class OuterProductGradient:
    """A dense layer's gradient as a product that is not formed: kernel = inputs^T deltas.

    Attributes:
      inputs: X, what the layer saw: [tasks, N, in].
      deltas: D, the loss gradient at the layer's output: [tasks, N, out].
      has_bias: whether the layer has a bias besides the kernel.
    """

    inputs: tf.Tensor
    deltas: tf.Tensor
    has_bias: bool = True

    def squared_norm(self) -> tf.Tensor:
        """See `Gradient`; from N x N Gram matrices.

        |X^T D|^2 = sum (X X^T) o (D D^T). In float32 cancellation can leave a tiny negative
        number where the gradient vanishes, hence the clamp.
        """
        gram = tf.matmul(self.inputs, self.inputs, transpose_b=True) * tf.matmul(
            self.deltas, self.deltas, transpose_b=True
        )
        kernel = tf.maximum(tf.reduce_sum(gram, [1, 2]), tf.zeros([], gram.dtype))
        if not self.has_bias:
            return kernel
        return kernel + tf.reduce_sum(tf.reduce_sum(self.deltas, 1) ** 2, 1)

    def constant(self) -> Self:
        """See `Gradient`."""
        return type(self)(
            tf.stop_gradient(self.inputs), tf.stop_gradient(self.deltas), self.has_bias
        )

    def of_each_task(self, factors: float | tf.Tensor) -> Self:
        """See `Change`."""
        return replace(self, deltas=tf.reshape(factors, [-1, 1, 1]) * self.deltas)

    def formed(self) -> WeightGradient:
        """The gradient with its kernel multiplied out: kernel (and bias)."""
        kernel = tf.matmul(self.inputs, self.deltas, transpose_a=True)
        bias = (tf.reduce_sum(self.deltas, 1),) if self.has_bias else ()
        return WeightGradient((kernel, *bias))


@dataclass(frozen=True)
class ElementwiseScaled:
    """A gradient whose elements have factors of their own, which tasks share.

    Attributes:
      gradient: not multiplied out yet, so that a task's factor costs little.
      factors: one tensor [...parameter shape] per parameter.
    """

    gradient: Change
    factors: Sequence[tf.Tensor]

    def of_each_task(self, factors: float | tf.Tensor) -> Self:
        """See `Change`."""
        return replace(self, gradient=self.gradient.of_each_task(factors))

    def formed(self) -> WeightGradient:
        """See `Change`."""
        parts = self.gradient.formed().parts
        pairs = zip(parts, self.factors, strict=True)
        return WeightGradient(tuple(part * factor for part, factor in pairs))


@dataclass(frozen=True)
class WeightTrace:
    """A layer that is differentiated in its weights.

    Attributes:
      leaves: one tensor [tasks, ...] per parameter.
    """

    leaves: Sequence[tf.Tensor]

    def gradient(self, of_leaves: Sequence[tf.Tensor]) -> WeightGradient:
        """What the tape says, densely: an embedding's gradient comes as slices."""
        return WeightGradient(tuple(tf.convert_to_tensor(part) for part in of_leaves))


@dataclass(frozen=True)
class OutputTrace:
    """A dense layer, which is differentiated in its outputs.

    Attributes:
      inputs: of every call in the pass, [tasks, N, in].
      leaves: the outputs of those calls, [tasks, N, out].
      has_bias: of the layer.
    """

    inputs: list[tf.Tensor]
    leaves: list[tf.Tensor]
    has_bias: bool

    def gradient(self, of_leaves: Sequence[tf.Tensor]) -> OuterProductGradient:
        """The rows of all calls together."""
        if len(of_leaves) == 1:
            return OuterProductGradient(self.inputs[0], of_leaves[0], self.has_bias)
        return OuterProductGradient(
            tf.concat(self.inputs, 1), tf.concat(of_leaves, 1), self.has_bias
        )
