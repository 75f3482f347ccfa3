"""The meta-learners of reinforcement learning: `MetaPolicy.train_step` is Algorithm 1.

MAML is a `MetaPolicy` without a modulator, MuMoMAML one with.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from mmaml_tf.devices.workers import ALONE, Workers
from mmaml_tf.learners.inner_loop import InnerLoop
from mmaml_tf.learners.modulator import Modulator
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.rl.policy import log_prob
from mmaml_tf.rl.rollouts import Experience, PolicyData
from mmaml_tf.rl.sampler import Policy
from mmaml_tf.rl.tasks import GoalTasks
from mmaml_tf.rl.trpo import Candidate
from mmaml_tf.tasks import Rollouts

Fast = list[Any]
Tau = list[tf.Tensor] | None
MetaUpdate = Callable[["MetaPolicy", Experience], Candidate]


def compiled_alone(method: Callable) -> Callable:
    """Compiles a method where it is called by itself, as in acting.

    Within a graph it is traced like any code: differentiated as a function of its own, it would
    take longer to trace and ask the GRU for a derivative that it does not have.
    """
    compiled = tf.function(method)

    @functools.wraps(method)
    def call(self: "MetaPolicy", *args) -> Any:  # noqa: ANN002
        # Bound by TensorFlow's own descriptor, the graphs go when the learner does.
        chosen = method if tf.inside_function() else compiled
        return chosen.__get__(self, type(self))(*args)

    return call


class Adaptation(NamedTuple):
    """What a learner makes of a batch of tasks.

    Attributes:
      fast: theta' after 0, 1, ..., S steps.
      tau: modulation parameters; None without modulator.
      embedding: v [tasks, v_dim]; None without modulator.
    """

    fast: list[Fast]
    tau: Tau
    embedding: tf.Tensor | None


class MetaPolicy(keras.Model):
    """A policy prior theta, modulated (omega) where there is a modulator.

    Args:
      network: the policy (theta), on a `gaussian_policy` model.
      inner_loop: S, alpha and clipping of the policy-gradient steps in training.
      discount: gamma.
      gae_lambda: lambda of generalised advantage estimation.
      draw_tasks: iteration -> the tasks to train on, a pure function, so that a resumed run meets
        the tasks and the noise that an uninterrupted one would have met.
      meta_update: changes theta and omega by what an iteration experienced; returns the surrogate
        loss and the policies' divergence there.
      modulator: trajectories -> (tau, v), or None.
    """

    # The processes that train it together.
    workers: Workers = ALONE
    METRICS = ("loss", "return_before", "return_after", "kl", "diverged")

    def __init__(
        self,
        network: TaskNetwork,
        inner_loop: InnerLoop,
        discount: float,
        gae_lambda: float,
        draw_tasks: Callable[[int], GoalTasks],
        meta_update: MetaUpdate,
        modulator: Modulator | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.network = network
        self.inner_loop = inner_loop
        self.discount = discount
        self.gae_lambda = gae_lambda
        self.draw_tasks = draw_tasks
        self.meta_update = meta_update
        self.modulator = modulator
        observation_size, outputs = network.model.input_shape[-1], network.model.output_shape[-1]
        network.build((None, None, observation_size))
        network.built = True
        if modulator is not None:
            widths = (observation_size,), (outputs // 2,), (), ()
            modulator.build_on(Rollouts(*(tf.ones([1, 1, 2, *w], self.dtype) for w in widths)))
        self.built = True
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.METRICS}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means that `fit` resets at every logging interval."""
        return list(self.trackers.values())

    @property
    def first_bad_iteration(self) -> int:
        """What to name when a metric is not finite: the iteration just made."""
        return int(self.optimizer.iterations)

    @property
    def learning_rates(self) -> list[float]:
        """alpha of each of the S steps in training."""
        return [self.inner_loop.learning_rate] * self.inner_loop.num_steps

    def train_step(self, iteration: tf.Tensor) -> dict[str, tf.Tensor]:
        """One iteration of [MuMoMAML] Algorithm 1 with policy gradients.

        It acts in environments, so it runs outside the graph.
        """
        # Draw tasks T_j ~ p(T).
        tasks = self.draw_tasks(int(iteration)).share(self.workers.index, self.workers.count)
        # Explore with theta, and infer tau = {tau_i} from the trajectories.
        trajectories = self.explore(tasks)
        tau, _ = self.modulate(trajectories)
        # S times: D_train by acting with theta'_j, theta'_j = theta'_j + alpha grad gain(D_train).
        fast, supports = self.adapt(
            tau, lambda fast: self.act(tasks, fast, tau), self.learning_rates
        )
        # D_val by acting with the adapted theta'_j.
        query = self.act(tasks, fast[-1], tau)
        # Update theta and omega by the gain of all pi(a | s; theta'_j, tau) on D_val, and count.
        update = self.meta_update(self, Experience(trajectories, supports, query))
        self.optimizer.iterations.assign_add(1)

        diverged = self.workers.count * tf.constant(tasks.diverged, tf.float32)
        returns, diverged = self.workers.mean((tf.constant(tasks.returns().mean(0)), diverged))
        values = (update.loss, returns[0], returns[-1], update.kl, diverged)
        for tracker, value in zip(self.metrics, values, strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.metrics}

    def adapt(
        self,
        tau: Tau,
        support_of: Callable[[Fast], PolicyData],
        learning_rates: Sequence[float],
    ) -> tuple[list[Fast], tuple[PolicyData, ...]]:
        """The S steps, of acting as of differentiating.

        Args:
          tau: modulation parameters.
          support_of: theta' -> D_train of the next step: met by acting with theta', or recorded.
          learning_rates: alpha of each step.

        Returns:
          theta' after 0, 1, ..., S steps, and the D_train of each step.
        """
        trajectory, supports = [self.network.prior()], []
        for learning_rate in learning_rates:
            supports.append(support_of(trajectory[-1]))
            alpha = tf.constant(learning_rate, supports[-1].observations.dtype)
            trajectory.append(self.inner_step(trajectory[-1], tau, supports[-1], alpha))
        return trajectory, tuple(supports)

    def replay(self, experience: Experience, at: Fast | None = None) -> tuple[tf.Tensor, Fast]:
        """What a recorded iteration makes of theta and omega, differentiable in them.

        Args:
          experience: of the iteration.
          at: theta' whose values count instead; the derivatives are those of the replayed one.

        Returns:
          z, the adapted policies' outputs on D_val [tasks, N, 2 act], and theta'.
        """
        tau, _ = self.modulate(experience.trajectories)
        recorded = iter(experience.supports)
        trajectory, _ = self.adapt(tau, lambda _: next(recorded), self.learning_rates)
        fast = trajectory[-1]
        if at is not None:
            fast = tf.nest.map_structure(
                lambda exact, own: own + tf.stop_gradient(exact - own), at, fast
            )
        return self.outputs(experience.query.observations, fast, tau), fast

    def adapt_to(self, tasks: GoalTasks, learning_rates: Sequence[float]) -> Adaptation:
        """Adapts to tasks and acts in them after every step; as in training, but for the update.

        Args:
          tasks: fresh ones; they keep what is met.
          learning_rates: alpha of each step.
        """
        tau, embedding = self.modulate(self.explore(tasks))
        fast, _ = self.adapt(tau, lambda fast: self.act(tasks, fast, tau), learning_rates)
        self.act(tasks, fast[-1], tau)
        return Adaptation(fast, tau, embedding)

    def explore(self, tasks: GoalTasks) -> Rollouts | None:
        """Trajectories of the unmodulated policy theta; None without modulator."""
        if self.modulator is None:
            return None
        return tasks.explore(self.policy(self.network.prior(), None))

    def act(self, tasks: GoalTasks, fast: Fast, tau: Tau) -> PolicyData:
        """Episodes of theta' modulated by tau."""
        return self.policy_data(tasks.act(self.policy(fast, tau)))

    def policy(self, fast: Fast, tau: Tau) -> Policy:
        """A policy for the sampler."""
        return lambda observations: self.outputs(observations, fast, tau).numpy()

    @compiled_alone
    def modulate(self, trajectories: Rollouts | None) -> tuple[Tau, tf.Tensor | None]:
        """The modulation parameters tau and the task embedding v; (None, None) without."""
        if self.modulator is None or trajectories is None:
            return None, None
        return self.modulator(trajectories)

    @compiled_alone
    def policy_data(self, rollouts: Rollouts) -> PolicyData:
        """Episodes prepared for policy gradients."""
        return PolicyData.from_rollouts(rollouts, self.discount, self.gae_lambda)

    @compiled_alone
    def inner_step(
        self, fast: Fast, tau: Tau, support: PolicyData, learning_rate: tf.Tensor
    ) -> Fast:
        """theta'' = theta' + alpha grad_theta' sum_n w_n A_n log pi(a_n | s_n; theta', tau).

        REINFORCE with a baseline: [MAML] Algorithm 3, line 6.
        """

        def loss(outputs: tf.Tensor) -> tf.Tensor:
            gains = support.advantages * log_prob(outputs, support.actions)
            return -tf.reduce_sum(support.weights * gains, 1)

        return self.inner_loop.step(
            self.network, fast, tau, support.observations, loss, learning_rate
        )[0]

    @compiled_alone
    def outputs(self, observations: tf.Tensor, fast: Fast, tau: Tau) -> tf.Tensor:
        """Means and log sigmas: [tasks, N, obs] -> [tasks, N, 2 act]."""
        return self.network.forward(observations, fast, tau)[0]
