"""Trials: several episodes of one task in a row, and what a policy with a memory sees of them."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mmaml_tf.rl.rollouts import PolicyData, Rollouts

Array = npt.NDArray[np.float32]
States = list[tf.Tensor]
Step = Callable[[tf.Tensor, States], tuple[tf.Tensor, States]]


def inputs_size(observation_size: int, action_size: int) -> int:
    """Width of what the policy sees: observation, action, reward, and whether an episode ended."""
    return observation_size + action_size + 2


class TrialPolicy:
    """A recurrent policy on its way through trials, for `Sampler.play`, one call per step.

    Its state and what it last met stay from episode to episode. While an episode that ended early
    waits for the others, both are left as they are.

    Args:
      step: inputs [n, in] and states -> outputs [n, 2 act] and states.
      states: to start with, [tasks * trials, units] each.
      batch: tasks and trials of each.
      action_size: numbers in an action.
    """

    def __init__(self, step: Step, states: States, batch: tuple[int, int], action_size: int):
        self.step = step
        self.states = states
        self.action = np.zeros((*batch, action_size), np.float32)
        self.reward = np.zeros(batch, np.float32)
        self.done = np.zeros(batch, np.float32)
        self.start_episode()

    def start_episode(self) -> None:
        """All environments begin a new episode."""
        self.live = np.ones(self.reward.shape, np.bool_)

    def of_one(self, task: int) -> "TrialPolicy":
        """The first trial of a task by itself, at the start of its next episode."""
        trials = self.reward.shape[1]
        row = slice(task * trials, task * trials + 1)
        one = TrialPolicy(
            self.step, [state[row] for state in self.states], (1, 1), self.action.shape[-1]
        )
        one.action, one.reward, one.done = (
            value[task : task + 1, :1] for value in (self.action, self.reward, self.done)
        )
        return one

    def __call__(self, observations: Array) -> Array:
        """Observations [tasks, trials, obs] -> means and log sigmas [tasks, trials, 2 act]."""
        last = (self.action, self.reward[..., None], self.done[..., None])
        seen = np.concatenate([observations, *last], -1)
        rows = seen.reshape(-1, seen.shape[-1])
        outputs, states = self.step(tf.convert_to_tensor(rows), self.states)
        live = self.live.reshape(-1, 1)
        pairs = zip(states, self.states, strict=True)
        self.states = [tf.where(live, new, old) for new, old in pairs]
        return outputs.numpy().reshape(*self.live.shape, -1)

    def met(
        self, action: Array, reward: npt.NDArray[np.float64], over: npt.NDArray[np.bool_]
    ) -> None:
        """What the step did: actions [tasks, trials, act], rewards and ends [tasks, trials]."""
        self.action = np.where(self.live[..., None], action, self.action)
        self.reward = np.where(self.live, reward, self.reward).astype(np.float32)
        self.done = np.where(self.live, over, self.done).astype(np.float32)
        self.live = ~over


def trial_of(episodes: Sequence[Rollouts]) -> Rollouts:
    """Episodes of the same tasks as one long episode each, of what a `TrialPolicy` saw in them.

    The steps of an episode follow those of the one before at once, however early that ended.

    Args:
      episodes: in turn, each of one episode for every trial: [tasks, trials, H, ...].

    Returns:
      [tasks, trials, episodes * H, ...]; its observations are [o_t, a_{t-1}, r_{t-1}, d_{t-1}],
      where d says that t is the first step after an episode's end, and all but o_0 are zero at the
      first.
    """
    joined = Rollouts(*(tf.concat(parts, 2) for parts in zip(*episodes, strict=True)))
    # Live steps first, in their order.
    order = tf.argsort(-joined.mask, stable=True)
    starts = [_starts(played.mask) * float(index > 0) for index, played in enumerate(episodes)]
    observations, actions, rewards, mask, done = (
        tf.gather(part, order, batch_dims=2) for part in (*joined, tf.concat(starts, 2))
    )
    last = [_one_earlier(actions), _one_earlier(rewards[..., None]), done[..., None]]
    return Rollouts(tf.concat([observations, *last], -1), actions, rewards, mask)


def _starts(mask: tf.Tensor) -> tf.Tensor:
    """One at every episode's first step: [tasks, trials, H]."""
    return tf.concat([tf.ones_like(mask[..., :1]), tf.zeros_like(mask[..., 1:])], -1)


def _one_earlier(values: tf.Tensor) -> tf.Tensor:
    """x_{t-1} for every t, zero at the first: [tasks, trials, T, n]."""
    return tf.concat([tf.zeros_like(values[:, :, :1]), values[:, :, :-1]], 2)


class TrialData(PolicyData):
    """Trials to take a policy gradient on, one per row: `PolicyData` with "tasks" being trials.

    Advantages are normalised within the task. The weights of a task's trials sum to their number.
    """

    @classmethod
    def from_rollouts(cls, rollouts: Rollouts, discount: float, gae_lambda: float) -> Self:
        """Estimates the advantages of trials [tasks, trials, T, ...], over all of the trial."""
        shape = tf.shape(rollouts.rewards)
        observations, actions, advantages, weights = (
            tf.reshape(part, tf.concat([[-1], shape[2:], part.shape[2:]], 0))
            for part in PolicyData.from_rollouts(rollouts, discount, gae_lambda)
        )
        weights *= tf.cast(shape[1], weights.dtype)
        return cls(observations, actions, advantages, weights)

    def every(self, stride: int) -> Self:
        """Each stride-th trial, since a policy with a memory needs all steps of one.

        Which one is shifted from pick to pick: tasks alternate between modes, and a fixed choice
        could miss one.
        """
        picks = np.arange(0, self.weights.shape[0], stride)
        picks = np.minimum(picks + np.arange(len(picks)) % stride, self.weights.shape[0] - 1)
        return type(self)(*(tf.gather(part, picks) for part in self))
