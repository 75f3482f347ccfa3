"""Tasks: the types that all of the project shares, and a user's own data as a stream of them."""

import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf


class Examples(NamedTuple):
    """Input-output pairs of every task in a batch: x [tasks, N, ...], y [tasks, N, ...]."""

    x: tf.Tensor
    y: tf.Tensor


class TaskBatch(NamedTuple):
    """A batch of tasks T_j ~ p(T), sorted by mode, with equally many tasks of each mode.

    Attributes:
      support: D_train of each task, what the learner adapts to; x is [tasks, K, ...].
      query: D_val of each task, what the adapted learner is scored on. Never shares a point
        with the support set.
      mode: [tasks] int32, the index of the mode that each task was drawn from. Only Multi-MAML
        (an oracle) and the reports look at it; None for a single mode.
    """

    support: Examples
    query: Examples
    mode: tf.Tensor = None

    def points(self) -> Examples:
        """Support and query points of each task together."""
        pairs = zip(self.support, self.query, strict=True)
        return Examples(*(tf.concat(pair, 1) for pair in pairs))


class Rollouts(NamedTuple):
    """Episodes of every task in a batch, padded to the horizon H.

    Attributes:
      observations: before each step, [tasks, rollouts, H, obs].
      actions: as the policy drew them, before any clipping, [tasks, rollouts, H, act].
      rewards: zero after an episode's end, [tasks, rollouts, H].
      mask: one for every step of an episode, its last included, zero after: [tasks, rollouts, H].
    """

    observations: tf.Tensor
    actions: tf.Tensor
    rewards: tf.Tensor
    mask: tf.Tensor

    def returns(self) -> tf.Tensor:
        """Every task's undiscounted return, the mean over its rollouts: [tasks]."""
        return tf.reduce_mean(tf.reduce_sum(self.rewards, -1), -1)


class TaskStream(enum.Enum):
    """Which of a run's independent sequences of tasks is drawn from."""

    TRAINING = 0
    EVALUATION = 1
    VALIDATION = 2


class Draw(NamedTuple):
    """Which batch of tasks: a distribution's tasks are a pure function of it, so that a resumed run
    sees the tasks that an uninterrupted one would have seen.

    Attributes:
      stream: training, or validation or evaluation on fresh tasks.
      seed: of the run.
      iteration: of the batch within the stream; may be a tensor.
      num_tasks: a multiple of the number of modes.
    """

    stream: TaskStream
    seed: int
    iteration: int | tf.Tensor
    num_tasks: int


Sample = Callable[[int], tuple[npt.ArrayLike, npt.ArrayLike]]


def from_function(
    sample: Sample | Sequence[Sample],
    num_tasks: int,
    num_shots: int,
    seed: int = 0,
) -> tf.data.Dataset:
    """An endless stream of batches of tasks that a function draws, or one function per mode.

    Args:
      sample: a seed (a whole number) -> one task's x [N, ...] and y [N, ...], NumPy arrays or
        tensors; the same for the same seed, and of the same shapes for every seed. The first K
        points are the support set, the others the query set. Of several such functions each is a
        mode: a batch has equally many tasks of each, in their order, as Multi-MAML needs it.
      num_tasks: per batch.
      num_shots: K.
      seed: of the stream: another one draws other tasks.

    Returns:
      A dataset of `TaskBatch`, for `fit`. Whatever goes through it begins at its first task: take
      another seed to evaluate, and one `fit` of many epochs rather than many of one. Tasks are
      drawn one after the other; `prefetch` draws while training goes on.

    Raises:
      ValueError: if `sample` does not return two arrays of more than K points each, functions
        differ in shapes, or `num_tasks` is no multiple of their number; for sizes below one.
    """
    _require_positive(num_tasks=num_tasks, num_shots=num_shots)
    functions = [sample] if callable(sample) else list(sample)
    if not functions or num_tasks % len(functions):
        raise ValueError(f"num_tasks={num_tasks}: must be a multiple of the {len(functions)} modes")
    each = num_tasks // len(functions)
    streams = [_drawn(f, num_shots, seed, mode) for mode, f in enumerate(functions)]
    shapes = [tf.nest.map_structure(lambda part: part.shape, s.element_spec) for s in streams]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"functions return different shapes: {shapes}")
    modes = tf.repeat(tf.range(len(functions)), each)

    def batch(*parts: tuple[tf.Tensor, tf.Tensor]) -> TaskBatch:
        x, y = (tf.concat(of_modes, 0) for of_modes in zip(*parts, strict=True))
        return TaskBatch(
            Examples(x[:, :num_shots], y[:, :num_shots]),
            Examples(x[:, num_shots:], y[:, num_shots:]),
            modes,
        )

    batches = [stream.batch(each, drop_remainder=True) for stream in streams]
    return untuned(tf.data.Dataset.zip(tuple(batches)).map(batch))


def untuned(tasks: tf.data.Dataset) -> tf.data.Dataset:
    """The same stream without tf.data's tuner, which has nothing to tune in it: the tuner's thread
    sleeps for up to a minute at a time, and the end of the stream would wait for it."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return tasks.with_options(options)


def _drawn(sample: Sample, num_shots: int, seed: int, mode: int) -> tf.data.Dataset:
    """An endless stream of one function's tasks, x and y."""
    x, y = (np.asarray(part) for part in sample(seed))
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) <= num_shots:
        raise ValueError(
            f"sample returned x {list(x.shape)} and y {list(y.shape)}: both need the same number "
            f"of points, more than num_shots={num_shots}, the others being queries"
        )
    for name, part in (("x", x), ("y", y)):
        if part.dtype.kind not in "biuf":
            raise ValueError(f"sample returned {name} of {part.dtype}: it must be numbers")
    kinds = (_kind(x), _kind(y))

    def draw(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def drawn(number: np.ndarray) -> tuple[np.ndarray, ...]:
            # Below 2^31, so that any library's generator takes it.
            (state,) = np.random.SeedSequence([seed, int(number), mode]).generate_state(1)
            parts = [np.asarray(part) for part in sample(int(state) >> 1)]
            for part, first, kind in zip(parts, (x, y), kinds, strict=True):
                if part.shape != first.shape or not np.can_cast(part.dtype, kind, "same_kind"):
                    raise ValueError(
                        f"sample returned {part.dtype} {list(part.shape)}, and for another seed "
                        f"{first.dtype} {list(first.shape)}: shapes and types must be the same"
                    )
            return tuple(p.astype(k) for p, k in zip(parts, kinds, strict=True))

        parts = tf.numpy_function(drawn, [index], kinds)
        return tuple(tf.ensure_shape(p, q.shape) for p, q in zip(parts, (x, y), strict=True))

    return tf.data.Dataset.counter(dtype=tf.int64).map(draw)


def from_arrays(
    inputs: npt.ArrayLike,
    labels: npt.ArrayLike,
    ways: int,
    shots: int,
    queries: int | None = None,
    num_tasks: int = 16,
    seed: int = 0,
) -> tf.data.Dataset:
    """An endless stream of batches of episodes from labelled data.

    An episode is `ways` classes, named 0 ... ways - 1 in random order, with `shots` support and
    `queries` query examples each, all different. Which classes are held out for validation is the
    caller's choice: give each stream its own.

    Args:
      inputs: [examples, ...], such as images; bytes become float32 in 0..1.
      labels: [examples], of any type.
      ways: N, classes of an episode.
      shots: K, support examples of a class.
      queries: query examples of a class; as many as shots by default.
      num_tasks: episodes per batch.
      seed: of the stream.

    Returns:
      A dataset of `TaskBatch`; x is [num_tasks, ways * shots, ...], y [num_tasks, ways * shots].

    Raises:
      ValueError: if there are not so many classes, or a class has too few examples; if labels are
        not one for each input; for sizes below one.
    """
    queries = shots if queries is None else queries
    _require_positive(ways=ways, shots=shots, queries=queries, num_tasks=num_tasks)
    x, names = np.asarray(inputs), np.asarray(labels)
    if names.ndim != 1 or len(x) != len(names):
        raise ValueError(f"labels {list(names.shape)} must be one for each of {len(x)} inputs")
    classes, members = np.unique(names, return_inverse=True)
    if len(classes) < ways:
        raise ValueError(f"ways={ways}: there are only {len(classes)} classes")
    rows = [np.flatnonzero(members == index) for index in range(len(classes))]
    for name, row in zip(classes, rows, strict=True):
        if len(row) < shots + queries:
            raise ValueError(
                f"class {name} has {len(row)} examples: {shots} shots and {queries} queries need "
                f"{shots + queries}"
            )

    def sample(number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(number)
        chosen = rng.choice(len(classes), ways, replace=False)
        picked = np.stack([rng.permutation(rows[c])[: shots + queries] for c in chosen])
        # All support examples come first, class by class, then all queries.
        order = np.concatenate([picked[:, :shots].ravel(), picked[:, shots:].ravel()])
        images = x[order]
        if images.dtype == np.uint8:
            images = images.astype(np.float32) / 255.0
        answers = [np.repeat(np.arange(ways), count) for count in (shots, queries)]
        return images, np.concatenate(answers).astype(np.int32)

    return from_function(sample, num_tasks, ways * shots, seed)


def _kind(array: np.ndarray) -> Any:
    """float32 for real numbers, int32 for whole ones; bytes stay what they are."""
    if array.dtype == np.uint8:
        return np.uint8
    return np.float32 if np.issubdtype(array.dtype, np.floating) else np.int32


def _require_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size}: must be 1 or more")
