"""Any environment of Gymnasium's as a batch with goals, stepped by Gymnasium's vector environments.

What is asked of it: `reset(options={"goal": g})` sets the task, observations and actions are
vectors, actions are bounded, and its registration has `max_episode_steps`.
"""

import functools
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from mmaml_tf.envs.arguments import BoolArray, FloatArray
from mmaml_tf.envs.goal_vector_env import GoalVectorEnv
from mmaml_tf.envs.rendering import RendererUnavailableError
from mmaml_tf.errors import RunError

VECTORIZERS = {"sync": SyncVectorEnv, "async": AsyncVectorEnv}
MAX_SEED = 2**31


def make_batch(
    env_id: str, num_envs: int, goal: FloatArray, vectorization: str = "sync"
) -> GoalVectorEnv:
    """The batched twin of an environment where it has one, else an `OwnVectorEnv`.

    Args:
        env_id: a registered environment.
        num_envs: how many.
        goal: any goal of its, [dim].
        vectorization: see `OwnVectorEnv`.

    Raises:
        RunError: if there is no such environment, it can't be made, or it is not fit to learn from;
            with what has to be changed.
    """
    try:
        spec = gymnasium.spec(env_id)
        if spec.vector_entry_point is None:
            return OwnVectorEnv(env_id, num_envs, goal, vectorization)
        twin = gymnasium.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point")
    except (gymnasium.error.Error, RendererUnavailableError) as error:
        raise RunError(f"{env_id}: {' '.join(str(error).split())}") from None
    if not isinstance(twin, GoalVectorEnv):  # a batch that knows no goals
        twin.close()
        return OwnVectorEnv(env_id, num_envs, goal, vectorization)
    if twin.goals.shape[1:] != np.shape(goal):
        raise RunError(f"{env_id}: goals are {twin.goals.shape[1]} numbers, not {np.size(goal)}")
    return twin


class OwnVectorEnv(GoalVectorEnv):
    """Separate environments, one goal each; episodes and goals as in `GoalVectorEnv`.

    Every reset draws a seed for each environment from `np_random`, so what happens in an episode
    depends on nothing but that generator. Actions are clipped to the environment's bounds. A step
    that yields a number that is not finite ends its episode: the last observation stays, the reward
    is zero, and it counts in `num_diverged`. Infos are empty.

    Args:
        env_id: a registered environment.
        num_envs: how many.
        goal: the first of each, [dim].
        vectorization: "sync" steps one after the other, in this process; "async" has a process for
            every environment, which pays where a step takes long.

    Raises:
        RunError: if the environment is not fit to learn from; see the file's head.
    """

    def __init__(
        self, env_id: str, num_envs: int, goal: FloatArray, vectorization: str = "sync"
    ) -> None:
        make = functools.partial(gymnasium.make, env_id, disable_env_checker=True)
        horizon = gymnasium.spec(env_id).max_episode_steps
        if horizon is None:
            raise RunError(f"{env_id} has no max_episode_steps: name it in gymnasium.register")
        env = make()
        check_spaces(env)
        check_goal(env, goal)
        env.close()
        spaces = (env.observation_space, env.action_space)
        super().__init__(num_envs, horizon, spaces, tuple(np.asarray(goal, dtype=np.float64)))
        # An ended episode is followed by resets that change nothing: `_Episode`.
        self._envs = VECTORIZERS[vectorization](
            [lambda: _Episode(make())] * num_envs, autoreset_mode=AutoresetMode.NEXT_STEP
        )
        self._reset(np.ones(num_envs, np.bool_), [0] * num_envs)  # before some are by themselves

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the processes of "async"."""
        self._envs.close(**kwargs)

    def _reset_states(self, mask: BoolArray) -> None:
        seeds = np.zeros(self.num_envs, np.int64)
        seeds[mask] = self.np_random.integers(MAX_SEED, size=int(mask.sum()))
        self._reset(mask, seeds.tolist())

    def _reset(self, mask: BoolArray, seeds: Sequence[int]) -> None:
        self._envs.set_attr("task_goal", list(self.goals))
        self._observations, _ = self._envs.reset(
            seed=list(seeds), options={"reset_mask": mask.copy()}
        )

    def _advance(
        self, actions: FloatArray, live: BoolArray
    ) -> tuple[FloatArray, BoolArray, dict[str, Any]]:
        bounds = self.single_action_space
        assert isinstance(bounds, Box)
        actions = np.clip(actions, bounds.low, bounds.high).astype(bounds.dtype)
        self._observations, rewards, terminated, truncated, _ = self._envs.step(actions)
        self._truncated |= live & truncated  # by a limit of its own
        diverged = live & np.isnan(rewards)
        self.num_diverged += int(diverged.sum())
        return np.where(diverged, 0.0, rewards), terminated, {}

    def _observe(self) -> FloatArray:
        return np.array(self._observations, dtype=np.float64)


class _Episode(gymnasium.Wrapper):
    """An environment that stays as it is from an episode's end to the next reset with options.

    Gymnasium's vector environments reset one that has ended, without options, and go on.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.task_goal: FloatArray | None = None
        self._last: Any = None
        self._over = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if options is not None:
            self._over = False
            self._last, _ = self.env.reset(seed=seed, options={"goal": np.array(self.task_goal)})
        return self._last, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._over:
            return self._last, 0.0, False, False, {}
        observation, reward, terminated, truncated, _ = self.env.step(action)
        if np.isfinite(observation).all() and np.isfinite(float(reward)):
            self._last = observation
        else:
            reward, terminated = np.nan, True
        self._over = terminated or truncated
        return self._last, float(reward), terminated, truncated, {}


def check_spaces(env: gymnasium.Env) -> None:
    """Observations and actions are vectors, and actions are bounded.

    Raises:
        RunError: if not so.
    """
    name = env.spec.id if env.spec else str(env)
    for what, space in (("observation", env.observation_space), ("action", env.action_space)):
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise RunError(f"{name}: its {what} space is {space}; it must be a Box of shape (n,)")
    assert isinstance(env.action_space, Box)
    if not env.action_space.is_bounded():
        raise RunError(
            f"{name}: its actions are unbounded ({env.action_space}); give the Box finite low and "
            "high, as policies act between them"
        )


def check_goal(env: gymnasium.Env, goal: FloatArray) -> None:
    """`reset` takes the goal from its options.

    Raises:
        RunError: if it does not look at it, or can't take this one.
    """
    name = env.spec.id if env.spec else str(env)
    options = _Watched(goal=np.array(goal, dtype=np.float64))
    try:
        env.reset(seed=0, options=options)
    except Exception as error:  # whatever the user's own code raises
        reason = f"{type(error).__name__}: {error}"
        raise RunError(f'{name}: reset(options={{"goal": {goal}}}) fails: {reason}') from error
    if not options.seen:
        raise RunError(f'{name} has no goals: its reset must take its task from options["goal"]')


class _Watched(dict[str, Any]):
    """Options that know whether a value was looked at."""

    seen = False

    def __getitem__(self, key: str) -> Any:
        self.seen = True
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.seen = True
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self.seen = True
        return super().pop(key, *default)

    def items(self) -> Any:
        self.seen = True
        return super().items()

    def __iter__(self) -> Any:  # or a copy would be made without looking
        return super().__iter__()
