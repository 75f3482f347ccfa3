"""The meta-update: TRPO on theta and omega jointly, through the inner policy gradient.

With outputs z(theta, omega) = the *adapted* policy's means and log sigmas on the query states,

    surrogate  L = -mean pi(a | s; z) / pi(a | s; z_old) A,     a, s, A from D_val
    constraint     mean KL(pi_old || pi) <= max_kl
    direction  x = (F + damping)^-1 (-dL),   F = J^T M J,  J = dz / d(theta, omega)

J holds the second derivatives of the inner loss. F is the Gauss-Newton form of the divergence's
second derivative: at the old policy they are equal, and it takes a lower order of derivatives.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast
from mmaml_tf.learners.missing import reject_missing
from mmaml_tf.rl import policy, trpo
from mmaml_tf.rl.policy_learner import PolicyLearner
from mmaml_tf.rl.rollouts import Experience, PolicyData


def surrogate_loss(outputs: tf.Tensor, old_outputs: tf.Tensor, query: PolicyData) -> tf.Tensor:
    """-mean over tasks of sum_n w_n pi(a_n | s_n) / pi_old(a_n | s_n) A_n; a scalar."""
    log_ratio = policy.log_prob(outputs, query.actions) - policy.log_prob(
        old_outputs, query.actions
    )
    return -task_mean(tf.exp(log_ratio) * query.advantages, query)


def task_mean(values: tf.Tensor, query: PolicyData) -> tf.Tensor:
    """The mean over tasks of each task's weighted sum over steps: [tasks, N] to a scalar."""
    return tf.reduce_mean(tf.reduce_sum(query.weights * values, 1))


@contextlib.contextmanager
def without_graph_rewriting() -> Iterator[None]:
    """Calls functions as they were traced.

    TensorFlow's graph rewriting (Grappler) accumulates sums into temporary variables in whatever
    order the terms arrive, so that the same call gives other last digits each time, and a resumed
    run another result; in a loop within the loop of conjugate gradients the variables can collide
    as well (AlreadyExistsError, TensorFlow 2.21). Neither is slower without.
    """
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options(before)


def linear_map(
    variables: Sequence[tf.Variable], forward: Callable[[], tf.Tensor]
) -> tuple[tf.Tensor, Callable, Callable]:
    """z = forward(), and its Jacobian J as two functions that recompute nothing of `forward`.

    J u is the derivative in u of the (linear) function u -> J^T u, so both products are reverse
    passes over tensors that exist already; within a graph they may be called inside a loop.

    Args:
      variables: what z is differentiated in.
      forward: computes z.

    Returns:
      z; (one tangent per variable) -> J u, shaped like z; (cotangent like z) -> J^T w, one part per
      variable.
    """
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(variables)
        z = forward()
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape_of_tape:
        cotangent = tf.zeros_like(z)
        tape_of_tape.watch(cotangent)
        pulled_back = tape.gradient(z, variables, output_gradients=cotangent)

    def push(tangents: Sequence[tf.Tensor]) -> tf.Tensor:
        return tape_of_tape.gradient(pulled_back, cotangent, output_gradients=list(tangents))

    def pull(cotangents: tf.Tensor) -> list[tf.Tensor]:
        return tape.gradient(z, variables, output_gradients=cotangents)

    return z, push, pull


@dataclass(eq=False)  # compiled per instance
class MetaTrpo:
    """Updates a learner from the experience of one meta-iteration.

    Attributes:
      max_kl: limit of the mean divergence of the adapted policies.
      cg_iterations: of conjugate gradients.
      cg_damping: added to F's diagonal.
      support_stride: F's inner second derivatives are taken on every so many-th support step; the
        adapted policy at which F is taken is the exact one.
      query_stride: F is averaged over every so many-th query step.
    """

    max_kl: float
    cg_iterations: int = 10
    cg_damping: float = 1e-2
    support_stride: int = 1
    query_stride: int = 1

    def __call__(self, learner: PolicyLearner, experience: Experience) -> trpo.Candidate:
        """Takes one TRPO step on the variables of a built learner."""
        with without_graph_rewriting():
            loss, gradient, old_outputs, fast = self.gradient(learner, experience)
            step = self.full_step(learner, experience, gradient, fast)
        variables = variables_of(learner)
        before = [tf.identity(variable) for variable in variables]
        parts = trpo.unflatten(step, variables)

        def evaluate(fraction: float) -> tuple[float, float]:
            for variable, value, part in zip(variables, before, parts, strict=True):
                variable.assign(value + fraction * part)
            new_loss, kl = self.evaluate(learner, experience, old_outputs)
            return float(new_loss), float(kl)

        chosen = trpo.line_search(evaluate, float(loss), self.max_kl)
        if chosen.fraction == 0.0:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
        return chosen

    @tf.function(autograph=False)
    def gradient(self, learner: PolicyLearner, experience: Experience) -> tuple:
        """L, its gradient [n], z_old and theta'."""
        variables = variables_of(learner)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            outputs, fast = learner.replay(experience)
            old_outputs = tf.stop_gradient(outputs)
            loss = surrogate_loss(outputs, old_outputs, experience.query)
        gradients = tape.gradient(loss, variables)
        reject_missing(learner.trainable_variables, gradients)
        loss, gradient = learner.workers.mean((loss, trpo.flatten(gradients)))
        return loss, gradient, old_outputs, fast

    def fisher(
        self, learner: PolicyLearner, experience: Experience, fast: Fast
    ) -> Callable[[tf.Tensor], tf.Tensor]:
        """v -> (F + damping) v, [n] to [n], at the adapted policy `fast`."""
        thin = experience.every(self.support_stride, self.query_stride)
        variables = variables_of(learner)
        outputs, push, pull = linear_map(variables, lambda: learner.replay(thin, at=fast)[0])
        num_tasks = tf.cast(tf.shape(outputs)[0], outputs.dtype)
        weights = thin.query.weights[..., None] / num_tasks

        def product(vector: tf.Tensor) -> tf.Tensor:
            tangent = push(trpo.unflatten(vector, variables))
            pulled = pull(weights * policy.fisher_product(outputs, tangent))
            return learner.workers.mean(trpo.flatten(pulled)) + self.cg_damping * vector

        return product

    @tf.function(autograph=False)
    def full_step(
        self, learner: PolicyLearner, experience: Experience, gradient: tf.Tensor, fast: Fast
    ) -> tf.Tensor:
        """The step [n] along -F^-1 dL whose quadratic divergence 1/2 x^T F x is `max_kl`."""
        product = self.fisher(learner, experience, fast)
        found = tf.linalg.experimental.conjugate_gradient(
            trpo.SymmetricOperator(product, gradient), -gradient, max_iter=self.cg_iterations
        )
        # x^T F x without another product: F x = b - r.
        curvature = tf.tensordot(found.x, -gradient - found.r, 1)
        return found.x * tf.sqrt(2.0 * self.max_kl / curvature)

    @tf.function(autograph=False)
    def evaluate(
        self, learner: PolicyLearner, experience: Experience, old_outputs: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """L and the mean divergence at the variables' present values."""
        outputs, _ = learner.replay(experience)
        divergence = task_mean(policy.kl_divergence(old_outputs, outputs), experience.query)
        loss = surrogate_loss(outputs, old_outputs, experience.query)
        return learner.workers.mean((loss, divergence))


def no_update(learner: PolicyLearner, experience: Experience) -> trpo.Candidate:
    """Leaves a learner as it is: the meta-update of random weights."""
    return trpo.Candidate(fraction=0.0, loss=0.0, kl=0.0)


def variables_of(learner: PolicyLearner) -> list[tf.Variable]:
    """theta and omega, as TensorFlow's variables."""
    return [variable.value for variable in learner.trainable_variables]
