"""Animation of an adapted policy."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from mmaml_tf.envs.replay import save_replay
from mmaml_tf.rl.policy_learner import PolicyLearner
from mmaml_tf.rl.tasks import GoalTasks


def save_policy_animation(
    learner: PolicyLearner, tasks: GoalTasks, adaptation: Any, path: Path
) -> None:
    """Plays one episode of every task with the adapted policy's mean actions, and saves a GIF.

    Args:
      learner: that adapted.
      tasks: to which.
      adaptation: to those tasks.
      path: ends in .gif.

    Raises:
      RunError: if it can't be drawn here.
    """
    sampler, goals = tasks.sampler, tasks.goals
    env = gymnasium.make(sampler.env_id)
    assert isinstance(env.action_space, gymnasium.spaces.Box)
    actions: list[npt.NDArray[np.float32]] = []
    for task, goal in enumerate(goals):
        policy, witness = learner.acting(adaptation, task)
        observed, _ = env.reset(seed=task, options={"goal": goal})
        played, over = [], False
        while not over:
            seen = sampler.observation(observed[np.newaxis], goal[np.newaxis])
            mean, _ = np.split(policy(seen[:, np.newaxis]), 2, axis=-1)
            # What lies beyond the bounds an environment of the user's need not take.
            action = sampler.environment_action(mean[0, 0])
            played.append(np.clip(action, env.action_space.low, env.action_space.high))
            observed, reward, terminated, truncated, _ = env.step(played[-1])
            over = terminated or truncated
            if witness is not None:
                witness(mean, np.array([[reward]]), np.array([[over]]))
        actions.append(np.stack(played))
    env.close()
    save_replay(sampler.env_id, goals, actions, path)
