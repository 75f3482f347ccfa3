"""A batch of tasks to act in: what a batch of examples is to supervised learning."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mmaml_tf.rl.rollouts import Rollouts
from mmaml_tf.rl.sampler import Policy, Sampler


@dataclass
class GoalTasks:
    """Tasks T_j, each a goal in the environment, and what policies met in them.

    Attributes:
      sampler: of the environment.
      goals: one per task, [tasks, dim].
      rngs: each task's own: equal generators and policies give equal episodes, whichever tasks
        are played beside.
      num_rollouts: of each `act`, per task.
      num_trajectories: of `explore`, per task.
      rollouts: of each `act`, in turn.
      diverged: episodes cut because their simulation diverged.
    """

    sampler: Sampler
    goals: npt.NDArray[np.float64]
    rngs: Sequence[np.random.Generator]
    num_rollouts: int
    num_trajectories: int
    rollouts: list[Rollouts] = field(default_factory=list)
    diverged: int = 0

    def share(self, index: int, count: int) -> "GoalTasks":
        """Every count-th task from `index` on, in which nothing was met yet."""
        own = slice(index, None, count)
        return replace(self, goals=self.goals[own], rngs=self.rngs[own], rollouts=[], diverged=0)

    def explore(self, policy: Policy) -> Rollouts:
        """Plays the trajectories that the task encoder sees."""
        return self._play(policy, self.num_trajectories)

    def act(self, policy: Policy) -> Rollouts:
        """Plays the episodes that a policy learns from or is measured by."""
        self.rollouts.append(self._play(policy, self.num_rollouts))
        return self.rollouts[-1]

    def returns(self) -> npt.NDArray[np.float32]:
        """Each task's mean return at every `act`, after 0, 1, ..., S steps: [tasks, S + 1]."""
        return np.stack([rollouts.returns().numpy() for rollouts in self.rollouts], 1)

    def _play(self, policy: Policy, num_rollouts: int) -> Rollouts:
        played, diverged = self.sampler.play(policy, self.goals, num_rollouts, self.rngs)
        self.diverged += diverged
        return played
