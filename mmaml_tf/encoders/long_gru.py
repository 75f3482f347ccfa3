"""A GRU whose Jacobian products are linear recurrences, for sequences of hundreds of steps.

TensorFlow differentiates a loop by a second loop over every stored intermediate, and that loop by
a third, with each weight's gradient summed step by step: in TRPO's conjugate gradients this is most
of the time. But a recurrence h_t = f(h_{t-1}, p_t) has the derivatives

    J:    dh_t = A_t dh_{t-1} + e_t              with e_t from the tangents of p_t and the weights
    J^T:  lambda_t = w_t + A_{t+1}^T lambda_{t+1}   with all weights' gradients from the lambda_t

and both the A_t and everything beside these two recurrences are computed for all steps at once.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


class LongGRU(keras.layers.GRU):
    """Keras's GRU in its default form (`reset_after`).

    The weights and the result are Keras's. First derivatives, and through them products with the
    Jacobian, are exact; asking for a second derivative is an error (LookupError).
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, use_cudnn=False, **kwargs)

    def inner_loop(
        self,
        sequences: tf.Tensor,
        initial_state: list[tf.Tensor],
        mask: tf.Tensor,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """The loop over sequences [batch, T, width]; mask [batch, T] is zero at dead steps.

        Returns:
          As Keras wants it: the last output, all outputs and the states.
        """
        input_bias, recurrent_bias = tf.unstack(tf.convert_to_tensor(self.cell.bias))
        projected = tf.tensordot(sequences, tf.convert_to_tensor(self.cell.kernel), 1) + input_bias
        outputs = states(
            tf.transpose(projected, [1, 0, 2]),
            tf.convert_to_tensor(self.cell.recurrent_kernel),
            recurrent_bias,
            tf.transpose(tf.cast(mask, projected.dtype))[..., None],
            initial_state[0],
        )
        return outputs[-1], tf.transpose(outputs, [1, 0, 2]), [outputs[-1]]


def states(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    mask: tf.Tensor,
    initial: tf.Tensor,
) -> tf.Tensor:
    """h_1 ... h_T of the recurrence, differentiable once in `inputs`, `kernel` and `bias`.

        (a, b, c) = h_{t-1} U + bias,      z = sigmoid(p_z + a),      r = sigmoid(p_r + b)
        h_t = h_{t-1} + m_t (1 - z) (tanh(p_c + r c) - h_{t-1})

    Args:
      inputs: p, [T, batch, 3 units], in the order z, r, candidate.
      kernel: U, [units, 3 units].
      bias: [3 units].
      mask: m, one for live steps, [T, batch, 1].
      initial: h_0, [batch, units], a constant.

    Returns:
      [T, batch, units].
    """

    def step(h: tf.Tensor, now: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        p, live = now
        z, _, candidate, _ = _gates(p, tf.matmul(h, kernel) + bias)
        return h + live * (1.0 - z) * (candidate - h)

    @tf.custom_gradient
    def forward(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple:
        found = tf.scan(step, (inputs, mask), initial)
        earlier = tf.concat([initial[None], found[:-1]], 0)
        pull = _jacobian(inputs, kernel, bias, mask, earlier)
        return found, pull

    return forward(inputs, kernel, bias)


def _gates(p: tf.Tensor, recurrent: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """z, r, the candidate and c of one step or of all."""
    p_z, p_r, p_c = tf.split(p, 3, -1)
    a, b, c = tf.split(recurrent, 3, -1)
    r = tf.sigmoid(p_r + b)
    return tf.sigmoid(p_z + a), r, tf.tanh(p_c + r * c), c


def _jacobian(
    inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, mask: tf.Tensor, earlier: tf.Tensor
) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """w [T, batch, units] -> J^T w; the gradient of that function in w is v -> J v.

    Args:
      inputs: as in `states`, and so are kernel, bias and mask.
      earlier: h_{t-1} for every t, [T, batch, units].
    """
    z, r, candidate, c = _gates(inputs, tf.tensordot(earlier, kernel, 1) + bias)
    live = mask * (1.0 - z)
    by_z = -mask * (candidate - earlier) * z * (1.0 - z)
    by_candidate = live * (1.0 - candidate**2)
    by_r = by_candidate * c * r * (1.0 - r)
    # dh_t / dh_{t-1} beside the way through U, and dh_t / d(p_t), dh_t / d(h_{t-1} U + bias).
    keeps = 1.0 - live
    by_inputs = tf.concat([by_z, by_r, by_candidate], -1)
    by_recurrent = tf.concat([by_z, by_r, by_candidate * r], -1)

    def thrice(values: tf.Tensor) -> tf.Tensor:
        return tf.concat([values] * 3, -1)

    def sum_of_three(values: tf.Tensor) -> tf.Tensor:
        return tf.add_n(tf.split(values, 3, -1))

    def push(d_inputs: tf.Tensor, d_kernel: tf.Tensor, d_bias: tf.Tensor) -> tf.Tensor:
        """J v: the change of every h_t."""
        d_recurrent = tf.tensordot(earlier, d_kernel, 1) + d_bias
        change = sum_of_three(by_inputs * d_inputs + by_recurrent * d_recurrent)
        # Tangents that come from a GRU below have no static shape.
        change = tf.ensure_shape(change, earlier.shape)

        def step(d_h: tf.Tensor, now: tuple[tf.Tensor, ...]) -> tf.Tensor:
            keep, gate, added = now
            return keep * d_h + sum_of_three(gate * tf.matmul(d_h, kernel)) + added

        start = tf.zeros_like(earlier[0])
        return tf.scan(step, (keeps, by_recurrent, change), start)

    @tf.custom_gradient
    def pull(cotangent: tf.Tensor, *once: tf.Tensor) -> tuple:
        """J^T w, in inputs, kernel and bias."""

        def step(later: tf.Tensor, now: tuple[tf.Tensor, ...]) -> tf.Tensor:
            keep, gate, own = now
            return own + keep * later + tf.matmul(gate * thrice(later), kernel, transpose_b=True)

        following = (_one_later(keeps), _one_later(by_recurrent), cotangent)
        sums = thrice(tf.scan(step, following, tf.zeros_like(cotangent[0]), reverse=True))
        recurrent = by_recurrent * sums
        gradients = (
            by_inputs * sums,
            tf.tensordot(earlier, recurrent, [[0, 1], [0, 1]]),
            tf.reduce_sum(recurrent, [0, 1]),
        )
        return gradients, lambda *tangents: (push(*tangents), *map(tf.zeros_like, once))

    # A tape that follows these would miss how J itself depends on them: it meets an error instead.
    once = [
        tf.raw_ops.PreventGradient(input=part, message="LongGRU has no second derivative")
        for part in (inputs, kernel, bias)
    ]
    return lambda cotangent: pull(cotangent, *once)


def _one_later(values: tf.Tensor) -> tf.Tensor:
    """x_{t+1} for every t, zero after the last."""
    return tf.concat([values[1:], tf.zeros_like(values[:1])], 0)
