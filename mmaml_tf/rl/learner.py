"""The meta-learners of reinforcement learning: `MetaPolicy` is Algorithm 1 with policy gradients.

MAML is a `MetaPolicy` without an encoder, MuMoMAML one with. The meta-update is `MetaTrpo`'s.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from mmaml_tf.adaptation import InnerLoop
from mmaml_tf.encoders import ModulationNetwork
from mmaml_tf.rl.encoder import TrajectoryEncoder
from mmaml_tf.rl.policy import GaussianPolicy, log_prob
from mmaml_tf.rl.rollouts import PolicyData, Rollouts

Logs = dict[str, float]


class Experience(NamedTuple):
    """All that a meta-update looks at.

    Attributes:
      trajectories: of the unmodulated policy, from which tau is inferred; None without encoder.
      supports: D_train of each inner step, sampled with theta' before that step.
      query: D_val, sampled with theta' after the last step.
    """

    trajectories: Rollouts | None
    supports: tuple[PolicyData, ...]
    query: PolicyData

    def every(self, support_stride: int, query_stride: int) -> "Experience":
        """A share of the steps; the trajectories are kept whole."""
        return Experience(
            self.trajectories,
            tuple(support.every(support_stride) for support in self.supports),
            self.query.every(query_stride),
        )


class MetaPolicy(keras.Model):
    """A policy prior theta, modulated by a task encoder (omega) where there is one.

    Args:
      network: the policy (theta).
      inner_loop: alpha and clipping of the policy-gradient steps.
      encoder: trajectories -> v, or None.
      modulation_network: v -> tau, or None.
    """

    METRICS = ("loss", "return_before", "return_after", "kl", "diverged")

    def __init__(
        self,
        network: GaussianPolicy,
        inner_loop: InnerLoop,
        encoder: TrajectoryEncoder | None = None,
        modulation_network: ModulationNetwork | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.network = network
        self.inner_loop = inner_loop
        self.encoder = encoder
        self.modulation_network = modulation_network
        self.meta_step: Callable[[int], Logs] | None = None
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.METRICS}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means that `fit` resets at every logging interval."""
        return list(self.trackers.values())

    @property
    def first_bad_iteration(self) -> int:
        """What to name when a metric is not finite: the iteration just made."""
        return int(self.optimizer.iterations)

    def build_for(self, observation_size: int) -> None:
        """Creates theta (and omega) for observations of this width."""
        self.network.build((None, None, observation_size))
        self.network.built = True
        if self.encoder is not None and self.modulation_network is not None:
            step_size = observation_size + self.network.output_units + 1
            self.encoder.build((None, None, None, step_size))
            self.encoder.built = True
            self.modulation_network.build((None, self.encoder.output_units))
            self.modulation_network.built = True
        self.built = True

    def modulate(
        self, trajectories: Rollouts | None
    ) -> tuple[list[tf.Tensor] | None, tf.Tensor | None]:
        """The modulation parameters tau and the task embedding v; (None, None) without encoder."""
        if self.encoder is None or self.modulation_network is None or trajectories is None:
            return None, None
        embedding = self.encoder(trajectories)
        return self.modulation_network(embedding), embedding

    def inner_step(
        self,
        fast: list[Any],
        tau: list[tf.Tensor] | None,
        support: PolicyData,
        learning_rate: float | tf.Tensor | None = None,
    ) -> list[Any]:
        """theta'' = theta' + alpha grad_theta' sum_n w_n A_n log pi(a_n | s_n; theta', tau).

        REINFORCE with a baseline: [MAML] Algorithm 3, line 6.
        """

        def loss(outputs: tf.Tensor) -> tf.Tensor:
            gains = support.advantages * log_prob(outputs, support.actions)
            return -tf.reduce_sum(support.weights * gains, 1)

        return self.inner_loop.step(
            self.network, fast, tau, support.observations, loss, learning_rate
        )[0]

    def adapted(
        self, tau: list[tf.Tensor] | None, supports: Sequence[PolicyData], fast: list[Any]
    ) -> list[Any]:
        """theta' after one step on each of the support sets, from `fast`."""
        for support in supports:
            fast = self.inner_step(fast, tau, support)
        return fast

    def outputs(
        self, observations: tf.Tensor, fast: list[Any], tau: list[tf.Tensor] | None
    ) -> tf.Tensor:
        """Means and log sigmas: [tasks, N, obs] -> [tasks, N, 2 act]."""
        return self.network.forward(observations, fast, tau)[0]

    def train_step(self, iteration: tf.Tensor) -> dict[str, tf.Tensor]:
        """One meta-iteration, outside the graph: `meta_step` plays in environments."""
        if self.meta_step is None:
            raise ValueError("give the learner a meta_step before training it")
        for name, value in self.meta_step(int(iteration)).items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}
