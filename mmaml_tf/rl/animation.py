"""Animation of an adapted policy."""

from pathlib import Path

import gymnasium
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mmaml_tf.envs.replay import save_replay
from mmaml_tf.rl.learner import Adaptation, MetaPolicy
from mmaml_tf.rl.tasks import GoalTasks


def save_policy_animation(
    learner: MetaPolicy, tasks: GoalTasks, adaptation: Adaptation, path: Path
) -> None:
    """Plays one episode of every task with the adapted policy's mean actions, and saves a GIF.

    Args:
      learner: that adapted.
      tasks: to which.
      adaptation: to those tasks, one gradient step or more.
      path: ends in .gif.

    Raises:
      RunError: if it can't be drawn here.
    """
    sampler, goals = tasks.sampler, tasks.goals
    env = gymnasium.make(sampler.env_id)
    actions: list[npt.NDArray[np.float32]] = []
    for task, goal in enumerate(goals):
        own = slice(task, task + 1)
        fast, tau = tf.nest.map_structure(
            lambda part, own=own: part[own], (adaptation.fast[-1], adaptation.tau or [])
        )
        policy = learner.policy(fast, tau or None)
        observed, _ = env.reset(seed=task, options={"goal": goal})
        played, over = [], False
        while not over:
            seen = sampler.observation(observed[np.newaxis], goal[np.newaxis])
            mean, _ = np.split(policy(seen[:, np.newaxis])[0, 0], 2)
            played.append(sampler.environment_action(mean))
            observed, _, terminated, truncated, _ = env.step(played[-1])
            over = terminated or truncated
        actions.append(np.stack(played))
    env.close()
    save_replay(sampler.env_id, goals, actions, path)
