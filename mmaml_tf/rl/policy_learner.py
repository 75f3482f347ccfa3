"""What the meta-learners of reinforcement learning share: an iteration, and what is counted."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.devices.workers import ALONE, Workers
from mmaml_tf.rl.sampler import Policy, Witness
from mmaml_tf.rl.tasks import GoalTasks
from mmaml_tf.rl.trpo import Candidate

MetaUpdate = Callable[[Any, Any], Candidate]


def compiled_alone(method: Callable) -> Callable:
    """Compiles a method where it is called by itself, as in acting.

    Within a graph it is traced like any code: differentiated as a function of its own, it would
    take longer to trace and ask the GRU for a derivative that it does not have.
    """
    compiled = tf.function(method, autograph=False)

    @functools.wraps(method)
    def call(self: keras.Model, *args) -> Any:  # noqa: ANN002
        # Bound by TensorFlow's own descriptor, the graphs go when the learner does.
        chosen = method if tf.inside_function() else compiled
        return chosen.__get__(self, type(self))(*args)

    return call


class PolicyLearner(keras.Model):
    """Policies that adapt to tasks; a subclass says how.

    Args:
      discount: gamma.
      gae_lambda: lambda of generalised advantage estimation.
      draw_tasks: iteration -> the tasks to train on, a pure function, so that a resumed run meets
        the tasks and the noise that an uninterrupted one would have met.
      meta_update: (learner, experience) -> the `trpo.Candidate` that it moved the policies to.
    """

    # The processes that train it together.
    workers: Workers = ALONE
    METRICS = ("loss", "return_before", "return_after", "kl", "diverged")

    def __init__(
        self,
        discount: float,
        gae_lambda: float,
        draw_tasks: Callable[[int], GoalTasks],
        meta_update: MetaUpdate,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.discount = discount
        self.gae_lambda = gae_lambda
        self.draw_tasks = draw_tasks
        self.meta_update = meta_update
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.METRICS}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means that `fit` resets at every logging interval."""
        return list(self.trackers.values())

    @property
    def first_bad_iteration(self) -> int:
        """What to name when a metric is not finite: the iteration just made."""
        return int(self.optimizer.iterations)

    def train_step(self, iteration: tf.Tensor) -> dict[str, tf.Tensor]:
        """One meta-iteration.

        It acts in environments, so it runs outside the graph.
        """
        # Draw tasks T_j ~ p(T), and act in them.
        tasks = self.draw_tasks(int(iteration)).share(self.workers.index, self.workers.count)
        experience = self.experience(tasks)
        # Update all weights by what was met, and count.
        update = self.meta_update(self, experience)
        self.optimizer.iterations.assign_add(1)

        diverged = self.workers.count * tf.constant(tasks.diverged, tf.float32)
        returns, diverged = self.workers.mean((tf.constant(tasks.returns().mean(0)), diverged))
        values = (update.loss, returns[0], returns[-1], update.kl, diverged)
        for tracker, value in zip(self.metrics, values, strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.metrics}

    def experience(self, tasks: GoalTasks) -> Any:
        """Acts in training tasks; returns what the meta-update looks at."""
        raise NotImplementedError

    def replay(self, experience: Any, at: Any = None) -> tuple[tf.Tensor, Any]:
        """What a recorded iteration makes of the weights, differentiable in them.

        Args:
          experience: of the iteration; its `query` is what the policies are judged by.
          at: adapted weights whose values count instead; the derivatives are those of the replayed
            ones.

        Returns:
          z, the adapted policies' outputs on the query's states [tasks, N, 2 act], and the adapted
          weights.
        """
        raise NotImplementedError

    def act_unmodulated(self, tasks: GoalTasks) -> bool:
        """Acts in tasks as it does before modulation; False, and no episodes, without any."""
        return False

    def adapt_to(self, tasks: GoalTasks, num_steps: int) -> Any:
        """Adapts to tasks and acts in them after 0, 1, ..., S steps.

        Args:
          tasks: fresh ones; they keep what is met.
          num_steps: S.

        Returns:
          What it made of them; its `embedding` [tasks, v_dim] is None without task encoder.
        """
        raise NotImplementedError

    def acting(self, adaptation: Any, task: int) -> tuple[Policy, Witness | None]:
        """The policy adapted to one of the tasks, for one episode, and who is to see its steps."""
        raise NotImplementedError
