"""Fast weights: a layer's parameters theta'_j after gradient steps, one set per task.

Nothing here is a variable. Fast weights are tensors computed from the slow variables theta, so
that the meta-gradient flows back through every inner step

    theta'_j <- theta'_j - alpha dL_j / dtheta'_j.

* `TaskWeights` keeps the parameters as they are, one tensor each: the form that fits every layer.
* `FactoredWeights` is for a dense layer z = x W + b. With inputs X and output gradients
  D = dL/dz its parameter gradients are X^T D and sum_n D_n; the kernel W' = W - alpha X^T D is
  never built, as x W' = x W - alpha (x X^T) D is cheaper while the rows seen so far are few.

Parameters are [1, ...] where all tasks share theta, [groups, ...] where tasks, sorted into equal
groups, have the theta of their group (Multi-MAML), and [tasks, ...] after a step.
"""

from typing import Any, NamedTuple, Self

import tensorflow as tf

from mmaml_tf.layers.gradients import Change, OuterProductGradient

# theta' of every layer of a network, in the form that the layer's rule works with.
Fast = list[Any]


class TaskWeights(NamedTuple):
    """A layer's parameters, one set per task.

    Attributes:
      parts: one tensor [1 or groups or tasks, ...] per parameter.
    """

    parts: tuple[tf.Tensor, ...]

    def affine(self, x: tf.Tensor) -> tf.Tensor:
        """z = x W' (+ b'), the parts being a kernel (and a bias): [tasks, N, in] -> [..., out]."""
        return grouped_affine(x, *self.parts)

    def updated(self, gradient: Change, step_size: float | tf.Tensor) -> Self:
        """theta' - step_size * gradient. `step_size` is a scalar or [tasks]."""
        # Scaled before it is multiplied out, while it is small.
        changes = gradient.of_each_task(-step_size).formed().parts
        return type(self)(
            tuple(
                per_task(part, num_tasks_of(change)) + change
                for part, change in zip(self.parts, changes, strict=True)
            )
        )


class FactoredWeights(NamedTuple):
    """A dense layer's shared weights plus the outer products of the steps taken so far.

    Attributes:
      parts: W [groups, in, out] and, where the layer has one, b [groups, out]: theta.
      inputs: X of all steps, [tasks, steps * N, in]; None before the first.
      deltas: -step_size * D of all steps, [tasks, steps * N, out]; None before the first.
    """

    parts: tuple[tf.Tensor, ...]
    inputs: tf.Tensor | None = None
    deltas: tf.Tensor | None = None

    def affine(self, x: tf.Tensor) -> tf.Tensor:
        """z = x W + b - sum_s alpha (x X_s^T + 1) D_s: [tasks, N, in] -> [tasks, N, out].

        The 1 is the bias: its input is always one, so its change is sum_n D_n.
        """
        z = grouped_affine(x, *self.parts)
        if self.inputs is None:
            return z
        similarity = tf.matmul(x, self.inputs, transpose_b=True)
        if len(self.parts) == 2:
            similarity += 1.0
        return z + tf.matmul(similarity, self.deltas)

    def updated(self, gradient: Change, step_size: float | tf.Tensor) -> Self:
        """The weights after one more step. `step_size` is a scalar or [tasks].

        Raises:
          TypeError: if the gradient has been multiplied out (elementwise clipping does that).
        """
        if not isinstance(gradient, OuterProductGradient):
            raise TypeError("factored fast weights need the gradient as an outer product")
        change = gradient.of_each_task(-step_size)
        return self._replace(
            inputs=_joined(self.inputs, change.inputs), deltas=_joined(self.deltas, change.deltas)
        )


def weights_form(
    fan_in: int, fan_out: int, rows_seen: int | None
) -> type[FactoredWeights] | type[TaskWeights]:
    """The cheaper fast-weight form of a dense layer.

    N rows cost N (in + out) numbers per task in factored form, the kernel in * out; the form with
    fewer numbers is taken (choice). `benchmarks/methods.py` times it against materialising all.
    """
    if rows_seen is not None and rows_seen * (fan_in + fan_out) < fan_in * fan_out:
        return FactoredWeights
    return TaskWeights


def num_tasks_of(batched: tf.Tensor) -> int | tf.Tensor:
    """The length of the task axis: a Python int where it is known."""
    return batched.shape[0] if batched.shape[0] is not None else tf.shape(batched)[0]


def per_task(slow: tf.Tensor, num_tasks: int | tf.Tensor) -> tf.Tensor:
    """Repeats a parameter [groups, ...] for every task of its group; [1, ...] just broadcasts."""
    groups = slow.shape[0]
    if groups is None or groups == 1 or (isinstance(num_tasks, int) and groups == num_tasks):
        return slow
    return tf.repeat(slow, num_tasks // groups, axis=0)


def copy_per_task(part: tf.Tensor, num_tasks: int | tf.Tensor) -> tf.Tensor:
    """A parameter [1 or groups or tasks, ...] as [tasks, ...]: a tape that watches it gives every
    task its own gradient."""
    part = per_task(part, num_tasks)
    if isinstance(num_tasks, int) and part.shape[0] == num_tasks:
        return part
    return tf.broadcast_to(part, [num_tasks, *part.shape[1:]])


def grouped_affine(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    """x [tasks, N, in] times kernel [groups, in, out] plus bias [groups, out].

    Tasks are sorted into equal groups; there may be as many groups as tasks.
    """
    groups, fan_in, fan_out = kernel.shape
    if groups is None or groups == x.shape[0]:
        return _with_bias(tf.matmul(x, kernel), bias)
    out_shape = tf.concat([tf.shape(x)[:-1], [fan_out]], 0)
    if groups == 1:
        # One large product is several times faster than a batched one with a broadcast kernel.
        rows = tf.matmul(tf.reshape(x, [-1, fan_in]), tf.reshape(kernel, [fan_in, fan_out]))
        if bias is not None:
            rows = tf.nn.bias_add(rows, tf.reshape(bias, [fan_out]))
        return tf.reshape(rows, out_shape)
    rows = _with_bias(tf.matmul(tf.reshape(x, [groups, -1, fan_in]), kernel), bias)
    return tf.reshape(rows, out_shape)


def _with_bias(z: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    return z if bias is None else z + bias[:, None]


def _joined(earlier: tf.Tensor | None, new: tf.Tensor) -> tf.Tensor:
    return new if earlier is None else tf.concat([earlier, new], 1)
