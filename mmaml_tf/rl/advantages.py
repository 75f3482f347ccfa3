"""Returns, the linear feature baseline and generalised advantage estimation, all tasks at once.

[MAML] 5.3: a linear baseline (Duan et al. 2016) is fitted to every task's own batch. GAE is
Schulman et al. 2016; lambda = 1 makes it the discounted return minus the baseline.
"""

import tensorflow as tf

RIDGE = 1e-5
OBSERVATION_LIMIT = 10.0


def discounted_sums(values: tf.Tensor, factor: float) -> tf.Tensor:
    """sum_{k >= t} factor^(k - t) x_k for every t: [..., H] -> [..., H].

    One product with the H x H matrix of powers; for horizons of a few hundred steps that is
    faster than a loop, and as exact, all powers being at most one.
    """
    horizon = tf.shape(values)[-1]
    steps = tf.range(horizon)
    exponents = steps[:, None] - steps[None, :]
    powers = tf.constant(factor, values.dtype) ** tf.cast(tf.maximum(exponents, 0), values.dtype)
    powers = tf.where(exponents >= 0, powers, tf.zeros([], values.dtype))
    return tf.linalg.matvec(powers, values, transpose_a=True)


def baseline_features(observations: tf.Tensor) -> tf.Tensor:
    """[o, o^2, s, s^2, s^3, 1], o clipped to +-10, s = t / 100: [..., H, obs] -> [..., H, F]."""
    clipped = tf.clip_by_value(observations, -OBSERVATION_LIMIT, OBSERVATION_LIMIT)
    time = tf.cast(tf.range(tf.shape(observations)[-2])[:, None], observations.dtype) / 100.0
    time = tf.concat([time, time**2, time**3, tf.ones_like(time)], -1)
    time = tf.broadcast_to(time, tf.concat([tf.shape(observations)[:-1], [4]], 0))
    return tf.concat([clipped, clipped**2, time], -1)


def fit_baseline(features: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Ridge regression of every task: c = argmin sum_n w_n (phi_n . c - y_n)^2 + 1e-5 |c|^2.

    Solved in float64: squared features of size 100 over thousands of rows leave float32 no digits.

    Args:
      features: phi, [tasks, N, F].
      targets: y, [tasks, N].
      weights: w, [tasks, N].

    Returns:
      c, [tasks, F], float64.
    """
    features, targets, weights = (tf.cast(v, tf.float64) for v in (features, targets, weights))
    share = tf.sqrt(weights)[..., None]
    return tf.linalg.lstsq(share * features, share * targets[..., None], RIDGE)[..., 0]


def generalised_advantages(
    observations: tf.Tensor,
    rewards: tf.Tensor,
    mask: tf.Tensor,
    discount: float,
    gae_lambda: float,
) -> tf.Tensor:
    """A_t = sum_k (gamma lambda)^k delta_{t+k}, delta_t = r_t + gamma V(o_{t+1}) - V(o_t).

    V is the linear baseline, fitted to the discounted returns of the task's own rollouts, and zero
    after an episode's end (the horizon included: time is among its features).

    Args:
      observations: [tasks, rollouts, H, obs].
      rewards: zero after the end, [tasks, rollouts, H].
      mask: one for every step of an episode, [tasks, rollouts, H].
      discount: gamma.
      gae_lambda: lambda.

    Returns:
      [tasks, rollouts, H]; zero where the mask is.
    """
    features = baseline_features(observations)
    num_tasks, num_features = tf.shape(features)[0], features.shape[-1]
    flat = tf.reshape(features, [num_tasks, -1, num_features])
    returns = discounted_sums(rewards, discount)
    coefficients = fit_baseline(
        flat, tf.reshape(returns, [num_tasks, -1]), tf.reshape(mask, [num_tasks, -1])
    )
    values = tf.linalg.matvec(tf.cast(flat, tf.float64), coefficients)
    values = tf.cast(tf.reshape(values, tf.shape(rewards)), rewards.dtype) * mask
    following = tf.concat([values[..., 1:], tf.zeros_like(values[..., :1])], -1)
    deltas = rewards + discount * following - values
    return discounted_sums(deltas, discount * gae_lambda) * mask


def normalised(advantages: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean 0 and standard deviation 1 over each task's steps: [tasks, rollouts, H] twice."""
    axes = [1, 2]
    count = tf.reduce_sum(mask, axes, keepdims=True)
    mean = tf.reduce_sum(advantages * mask, axes, keepdims=True) / count
    centred = (advantages - mean) * mask
    variance = tf.reduce_sum(centred**2, axes, keepdims=True) / count
    return centred / (tf.sqrt(variance) + 1e-8)
