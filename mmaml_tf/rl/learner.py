"""Policies that are modulated and take policy-gradient steps: `experience` is Algorithm 1 up to
the meta-update.

MAML is a `MetaPolicy` without a modulator, MuMoMAML one with, Meta-SGD one with learned rates.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from mmaml_tf.layers.fast_weights import Fast
from mmaml_tf.layers.modulation import Tau
from mmaml_tf.learners.inner_loop import InnerLoop, LearnedRates
from mmaml_tf.learners.modulator import Modulator
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.rl.policy import log_prob
from mmaml_tf.rl.policy_learner import PolicyLearner, compiled_alone
from mmaml_tf.rl.rollouts import Experience, PolicyData
from mmaml_tf.rl.sampler import Policy
from mmaml_tf.rl.tasks import GoalTasks
from mmaml_tf.tasks import Rollouts


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


class MetaPolicy(PolicyLearner):
    """A policy prior theta, modulated (omega) where there is a modulator.

    Args:
      network: the policy (theta), on a `gaussian_policy` model.
      inner_loop: S, alpha and clipping of the policy-gradient steps in training.
      modulator: trajectories -> (tau, v), or None.
      learned_rates: meta-learn a rate per weight, signs free, from alpha on [Meta-SGD]: they are
        weights of the learner as theta is.
      later_lr: alpha of the evaluation's steps after the first; None for half of it.
      **settings: see `PolicyLearner`.
    """

    def __init__(
        self,
        network: TaskNetwork,
        inner_loop: InnerLoop,
        modulator: Modulator | None = None,
        learned_rates: bool = False,
        later_lr: float | None = None,
        **settings: Any,
    ):
        super().__init__(**settings)
        self.network = network
        self.modulator = modulator
        observation_size, outputs = network.model.input_shape[-1], network.model.output_shape[-1]
        network.build((None, None, observation_size))
        network.built = True
        if modulator is not None:
            widths = (observation_size,), (outputs // 2,), (), ()
            modulator.build_on(Rollouts(*(tf.ones([1, 1, 2, *w], self.dtype) for w in widths)))
        if learned_rates:
            inner_loop = LearnedRates.of(inner_loop, network, self.add_weight)
        self.inner_loop = inner_loop
        self.later_lr = inner_loop.learning_rate / 2 if later_lr is None else later_lr
        self.built = True

    @property
    def learning_rates(self) -> list[float]:
        """alpha of each of the S steps in training."""
        return [self.inner_loop.learning_rate] * self.inner_loop.num_steps

    def experience(self, tasks: GoalTasks) -> Experience:
        """[MuMoMAML] Algorithm 1 with policy gradients, but for the meta-update."""
        # Explore with theta, and infer tau = {tau_i} from the trajectories.
        trajectories = self.explore(tasks)
        tau, _ = self.modulate(trajectories)
        # S times: D_train by acting with theta'_j, theta'_j = theta'_j + alpha grad gain(D_train).
        fast, supports = self.adapt(
            tau, lambda fast: self.act(tasks, fast, tau), self.learning_rates
        )
        # D_val by acting with the adapted theta'_j.
        query = self.act(tasks, fast[-1], tau)
        return Experience(trajectories, supports, query)

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
        """See `PolicyLearner`: the adapted policies' outputs on D_val, and theta'."""
        tau, _ = self.modulate(experience.trajectories)
        recorded = iter(experience.supports)
        trajectory, _ = self.adapt(tau, lambda _: next(recorded), self.learning_rates)
        fast = trajectory[-1]
        if at is not None:
            fast = tf.nest.map_structure(
                lambda exact, own: own + tf.stop_gradient(exact - own), at, fast
            )
        return self.outputs(experience.query.observations, fast, tau), fast

    def evaluation_rates(self, num_steps: int) -> list[float]:
        """alpha for the first step, by default half of it for the others ([MAML] A.2)."""
        return [self.inner_loop.learning_rate, *[self.later_lr] * num_steps][:num_steps]

    def adapt_to(self, tasks: GoalTasks, num_steps: int) -> Adaptation:
        """See `PolicyLearner`: as in training, but for the update."""
        tau, embedding = self.modulate(self.explore(tasks))
        rates = self.evaluation_rates(num_steps)
        fast, _ = self.adapt(tau, lambda fast: self.act(tasks, fast, tau), rates)
        self.act(tasks, fast[-1], tau)
        return Adaptation(fast, tau, embedding)

    def act_unmodulated(self, tasks: GoalTasks) -> bool:
        """See `PolicyLearner`: episodes of the policy that explores."""
        if self.modulator is not None:
            self.act(tasks, self.network.prior(), None)
        return self.modulator is not None

    def explore(self, tasks: GoalTasks) -> Rollouts | None:
        """Trajectories of the unmodulated policy theta; None without modulator."""
        if self.modulator is None:
            return None
        return tasks.explore(self.policy(self.network.prior(), None))

    def act(self, tasks: GoalTasks, fast: Fast, tau: Tau) -> PolicyData:
        """Episodes of theta' modulated by tau."""
        return self.policy_data(tasks.act(self.policy(fast, tau)))

    def acting(self, adaptation: Adaptation, task: int) -> tuple[Policy, None]:
        """See `PolicyLearner`."""
        # What does not adapt is there once, for all tasks.
        fast, tau = tf.nest.map_structure(
            lambda part: part[min(task, len(part) - 1)][None],
            (adaptation.fast[-1], adaptation.tau or []),
        )
        return self.policy(fast, tau or None), None

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
