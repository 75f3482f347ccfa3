"""TRPO's meta-gradient and curvature by explicit computations."""

import numpy as np
import tensorflow as tf

from mmaml_tf.rl import trpo
from mmaml_tf.rl.meta_trpo import MetaTrpo, variables_of
from tests.rl_problem import make_experience


def updater(**settings):
    return MetaTrpo(**(dict(max_kl=0.01, cg_iterations=10, cg_damping=1e-3) | settings))


def check_gradient(learner, experience=None):
    """Compares the meta-gradient along random directions."""
    experience = experience or make_experience(learner)
    meta = updater()
    _, gradient, old_outputs, _ = meta.gradient(learner, experience)
    rng = np.random.default_rng(0)
    epsilon = 1e-5
    for _ in range(5):
        direction = rng.normal(size=gradient.shape)
        losses = []
        for sign in (1, -1):
            shift(learner, sign * epsilon * direction)
            losses.append(float(meta.evaluate(learner, experience, old_outputs)[0]))
            shift(learner, -sign * epsilon * direction)
        slope = (losses[0] - losses[1]) / (2 * epsilon)
        np.testing.assert_allclose(slope, gradient.numpy() @ direction, rtol=1e-6)


def explicit_fisher(learner, experience):
    """J^T M J from a Jacobian by central differences, [n, n]."""
    size, epsilon = sum(int(tf.size(v)) for v in learner.trainable_variables), 1e-5
    outputs = tf.function(lambda: learner.replay(experience)[0], autograph=False)
    columns = []
    for direction in epsilon * np.eye(size):
        shift(learner, direction)
        ahead = outputs()
        shift(learner, -2 * direction)
        behind = outputs()
        shift(learner, direction)
        columns.append((ahead - behind).numpy() / (2 * epsilon))
    jacobian = np.stack(columns, -1)  # [tasks, N, 2 act, n]
    act = jacobian.shape[2] // 2
    metric = np.full(jacobian.shape[:3], 2.0)
    metric[..., :act] = np.exp(-2 * outputs().numpy()[..., act:])
    weights = experience.query.weights.numpy()[..., None] / len(jacobian)
    return np.einsum("jnap,jna,jnaq->pq", jacobian, metric * weights, jacobian)


def shift(learner, vector):
    variables = variables_of(learner)
    parts = trpo.unflatten(tf.constant(vector), variables)
    for variable, part in zip(variables, parts, strict=True):
        variable.assign_add(part)
