"""Fast weights: a layer's parameters theta'_j after gradient steps, one set per task.

Nothing here is a variable. Fast weights are tensors computed from the slow variables theta, so
that the meta-gradient flows back through every inner step.

A dense layer z = x W + b that saw inputs X and received the output gradient D = dL/dz has the
parameter gradients X^T D and sum_n D_n. Both forms below are updated from that pair (X, D):

* `MaterialisedWeights` keeps W' = W - alpha X^T D, [tasks, in, out].
* `FactoredWeights` never builds it: x W' = x W - alpha (x X^T) D, which is cheaper while the rows
  seen so far are few. This is the "fast" form for few-shot tasks.
"""

from typing import NamedTuple, Self

import tensorflow as tf


class WeightGradient(NamedTuple):
    """The gradient of every task's loss in a layer's parameters, one tensor per parameter.

    Attributes:
      parts: each [tasks, ...parameter shape].
    """

    parts: tuple[tf.Tensor, ...]

    def squared_norm(self) -> tf.Tensor:
        """Sum of squares over the layer's parameters: [tasks]."""
        return tf.add_n(
            [tf.reduce_sum(part**2, list(range(1, part.shape.rank))) for part in self.parts]
        )

    def clipped_by_value(self, limit: float) -> Self:
        """Every element clamped to [-limit, limit]."""
        return type(self)(tuple(tf.clip_by_value(part, -limit, limit) for part in self.parts))

    def formed(self) -> Self:
        """Itself: nothing is left to multiply out."""
        return self


class OuterProductGradient(NamedTuple):
    """The same gradient as a product that is not formed: kernel = inputs^T deltas.

    Attributes:
      inputs: X, what the layer saw: [tasks, N, in].
      deltas: D, the loss gradient at the layer's output: [tasks, N, out].
    """

    inputs: tf.Tensor
    deltas: tf.Tensor

    def squared_norm(self) -> tf.Tensor:
        """Sum of squares over the layer's parameters, [tasks], from N x N Gram matrices.

        |X^T D|^2 = sum (X X^T) o (D D^T). In float32 cancellation can leave a tiny negative
        number where the gradient vanishes, hence the clamp.
        """
        gram = tf.matmul(self.inputs, self.inputs, transpose_b=True) * tf.matmul(
            self.deltas, self.deltas, transpose_b=True
        )
        bias = tf.reduce_sum(self.deltas, 1)
        zero = tf.zeros([], gram.dtype)
        return tf.maximum(tf.reduce_sum(gram, [1, 2]), zero) + tf.reduce_sum(bias**2, 1)

    def formed(self) -> WeightGradient:
        """The gradient with its kernel multiplied out: (kernel, bias)."""
        kernel = tf.matmul(self.inputs, self.deltas, transpose_a=True)
        return WeightGradient((kernel, tf.reduce_sum(self.deltas, 1)))


def num_tasks_of(batched: tf.Tensor) -> int | tf.Tensor:
    """The length of the task axis: a Python int where it is known."""
    return batched.shape[0] if batched.shape[0] is not None else tf.shape(batched)[0]


def per_task(slow: tf.Tensor, num_tasks: int | tf.Tensor) -> tf.Tensor:
    """Repeats a parameter [groups, ...] for every task of its group; [1, ...] just broadcasts."""
    groups = slow.shape[0]
    if groups is None or groups == 1 or (isinstance(num_tasks, int) and groups == num_tasks):
        return slow
    return tf.repeat(slow, num_tasks // groups, axis=0)


def grouped_affine(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """x [tasks, N, in] times kernel [groups, in, out] plus bias [groups, out].

    Tasks are sorted into equal groups; there may be as many groups as tasks.
    """
    groups, fan_in, fan_out = kernel.shape
    if groups is None or groups == x.shape[0]:
        return tf.matmul(x, kernel) + bias[:, None]
    out_shape = tf.concat([tf.shape(x)[:-1], [fan_out]], 0)
    if groups == 1:
        # One large product is several times faster than a batched one with a broadcast kernel.
        rows = tf.matmul(tf.reshape(x, [-1, fan_in]), tf.reshape(kernel, [fan_in, fan_out]))
        return tf.reshape(tf.nn.bias_add(rows, tf.reshape(bias, [fan_out])), out_shape)
    rows = tf.matmul(tf.reshape(x, [groups, -1, fan_in]), kernel) + bias[:, None]
    return tf.reshape(rows, out_shape)


class MaterialisedWeights(NamedTuple):
    """One kernel and bias per task (or per group of tasks, before the first step).

    Attributes:
      kernel: [groups or tasks, in, out].
      bias: [groups or tasks, out].
    """

    kernel: tf.Tensor
    bias: tf.Tensor

    @classmethod
    def prior(cls, kernel: tf.Tensor, bias: tf.Tensor) -> Self:
        """The weights before any gradient step: theta itself."""
        return cls(kernel, bias)

    def apply(self, x: tf.Tensor) -> tf.Tensor:
        """z = x W' + b': [tasks, N, in] -> [tasks, N, out]."""
        return grouped_affine(x, self.kernel, self.bias)

    def updated(
        self, gradient: OuterProductGradient | WeightGradient, step_size: float | tf.Tensor
    ) -> Self:
        """W' - step_size * gradient. `step_size` is a scalar or [tasks]."""
        kernel, bias = gradient.formed().parts
        num_tasks = num_tasks_of(bias)
        step_size = tf.reshape(step_size, [-1, 1])
        return type(self)(
            kernel=per_task(self.kernel, num_tasks) - step_size[:, None] * kernel,
            bias=per_task(self.bias, num_tasks) - step_size * bias,
        )


class FactoredWeights(NamedTuple):
    """The shared weights plus the outer products of the steps taken so far.

    Attributes:
      kernel: W, [groups, in, out], shared.
      bias: b [groups, out], shared.
      inputs: X of all steps, [tasks, steps * N, in]; None before the first.
      deltas: -step_size * D of all steps, [tasks, steps * N, out]; None before the first.
    """

    kernel: tf.Tensor
    bias: tf.Tensor
    inputs: tf.Tensor | None = None
    deltas: tf.Tensor | None = None

    @classmethod
    def prior(cls, kernel: tf.Tensor, bias: tf.Tensor) -> Self:
        """The weights before any gradient step: theta itself."""
        return cls(kernel, bias)

    def apply(self, x: tf.Tensor) -> tf.Tensor:
        """z = x W + b - sum_s alpha (x X_s^T + 1) D_s: [tasks, N, in] -> [tasks, N, out].

        The 1 is the bias: its input is always one, so its change is sum_n D_n.
        """
        z = grouped_affine(x, self.kernel, self.bias)
        if self.inputs is None:
            return z
        return z + tf.matmul(tf.matmul(x, self.inputs, transpose_b=True) + 1.0, self.deltas)

    def updated(self, gradient: OuterProductGradient, step_size: float | tf.Tensor) -> Self:
        """The weights after one more step. `step_size` is a scalar or [tasks].

        Raises:
          TypeError: if the gradient has been multiplied out (elementwise clipping does that).
        """
        if not isinstance(gradient, OuterProductGradient):
            raise TypeError("factored fast weights need the gradient as an outer product")
        deltas = -tf.reshape(step_size, [-1, 1, 1]) * gradient.deltas
        return type(self)(
            kernel=self.kernel,
            bias=self.bias,
            inputs=_joined(self.inputs, gradient.inputs),
            deltas=_joined(self.deltas, deltas),
        )


def _joined(earlier: tf.Tensor | None, new: tf.Tensor) -> tf.Tensor:
    return new if earlier is None else tf.concat([earlier, new], 1)


class BiasVector(NamedTuple):
    """A vector appended to every input row: [groups or tasks, size]."""

    vector: tf.Tensor

    def apply(self, x: tf.Tensor) -> tf.Tensor:
        """[tasks, N, in] -> [tasks, N, in + size]."""
        vector = per_task(self.vector, num_tasks_of(x))[:, None]
        shape = tf.concat([tf.shape(x)[:2], tf.shape(vector)[2:]], 0)
        return tf.concat([x, tf.broadcast_to(vector, shape)], -1)

    def updated(self, gradient: WeightGradient, step_size: float | tf.Tensor) -> Self:
        """b' - step_size * gradient. `step_size` is a scalar or [tasks]."""
        (vector,) = gradient.parts
        prior = per_task(self.vector, num_tasks_of(vector))
        return type(self)(prior - tf.reshape(step_size, [-1, 1]) * vector)
