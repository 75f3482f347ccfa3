"""N-way K-shot tasks over labelled images, and their distribution p(T) over splits and modes."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
import tensorflow as tf

from mmaml_tf.tasks import Draw, Examples, TaskBatch, TaskStream

ROTATIONS = 4
# TensorFlow's own choice outside XLA; named, the draws are the same inside.
GENERATOR = "philox"


class Episodes:
    """Tasks over some classes of images.

    The N classes of a task come in random order, so a label says nothing of a class; support and
    query images are different ones. A class that is turned is in a task in one rotation only: one
    image in two of them would be two equal classes where it is symmetric.

    Args:
      images: uint8 [images, size, size, channels], class after class.
      sizes: images of each class.
      rotated: whether every class also comes turned by 90, 180 and 270 degrees, as a class of its
        own ([MAML]'s code, on Omniglot).
      channels: of the tasks' images; gray ones are repeated.
    """

    def __init__(
        self, images: np.ndarray, sizes: np.ndarray, rotated: bool = False, channels: int = 1
    ):
        self.rotations = ROTATIONS if rotated else 1
        self.num_classes = len(sizes) * self.rotations
        turned = [np.rot90(images, turns, axes=(1, 2)) for turns in range(self.rotations)]
        # Row image * rotations + turns: an episode is one gather.
        self._images = tf.constant(np.stack(turned, 1).reshape(-1, *images.shape[1:]))
        self._channels = channels
        self._sizes = tf.constant(sizes, tf.int32)
        self._starts = tf.constant(np.cumsum(sizes) - sizes, tf.int32)
        self._largest = int(max(sizes))

    def sample(
        self,
        seed: tf.Tensor,
        num_tasks: int,
        num_ways: int,
        num_shots: int,
        num_queries: int,
        class_labels: bool = False,
    ) -> TaskBatch:
        """A batch of tasks, a pure function of the seed.

        Args:
          seed: [2] integers.
          num_tasks: M.
          num_ways: N, classes per task.
          num_shots: K, support images per class.
          num_queries: Q, query images per class.
          class_labels: whether labels are 0 to `num_classes` - 1, the same in every task.

        Returns:
          Support x [M, N * K, size, size, channels] in 0..1 and y [M, N * K] int32, class after
          class, the query set likewise, and the single mode 0.
        """
        seeds = tf.unstack(tf.random.split(seed, 3, alg=GENERATOR))
        classes = distinct(seeds[0], [num_tasks], len(self._sizes), num_ways)
        turns = tf.random.stateless_uniform(
            [num_tasks, num_ways], seeds[1], 0, self.rotations, tf.int32, alg=GENERATOR
        )
        number = num_shots + num_queries
        sizes = tf.gather(self._sizes, classes)
        chosen = distinct(seeds[2], [num_tasks, num_ways], self._largest, number, sizes)
        rows = (tf.gather(self._starts, classes)[..., None] + chosen) * self.rotations
        rows += turns[..., None]
        labels = tf.tile(tf.range(num_ways)[None], [num_tasks, 1])
        if class_labels:
            labels = classes * self.rotations + turns

        def examples(rows: tf.Tensor) -> Examples:
            per_class = rows.shape[-1]
            shape = [num_tasks, num_ways * per_class]
            images = tf.gather(self._images, tf.reshape(rows, shape))
            if images.shape[-1] < self._channels:
                images = tf.repeat(images, self._channels, -1)
            return Examples(tf.cast(images, tf.float32) / 255.0, tf.repeat(labels, per_class, 1))

        mode = tf.zeros([num_tasks], tf.int32)
        return TaskBatch(examples(rows[..., :num_shots]), examples(rows[..., num_shots:]), mode)


def distinct(
    seed: tf.Tensor, shape: list[int], limit: int, count: int, limits: tf.Tensor | None = None
) -> tf.Tensor:
    """`count` different integers below `limit`, in random order: [*shape, count] int32.

    `limits`, [*shape], are limits of each place's own, none of them above `limit`.
    """
    bits = tf.random.stateless_uniform([*shape, limit], seed, None, None, tf.int32, alg=GENERATOR)
    # The bits that a uniform float is made of, and in its order; XLA makes other floats of them.
    ranks = tf.bitwise.bitwise_and(bits, (1 << 23) - 1)
    if limits is not None:
        ranks = tf.where(tf.range(limit) < limits[..., None], ranks, -1)
    return tf.math.top_k(ranks, count).indices


class EpisodeTasks:
    """Training, validation and test tasks over disjoint classes.

    A batch has equally many tasks of each mode, sorted by mode.

    Args:
      modes: for each, what makes the episodes of a split.
      num_ways: N, classes per task.
      image_shape: height, width and channels.
    """

    def __init__(
        self,
        modes: Sequence[Callable[[TaskStream], Episodes]],
        num_ways: int,
        image_shape: tuple[int, int, int],
    ):
        self.num_ways = num_ways
        self.image_shape = image_shape
        self.class_labels = False
        self._modes = modes
        self._episodes: dict[TaskStream, Sequence[Episodes]] = {}

    def sample(self, draw: Draw, num_shots: int, num_queries: int) -> TaskBatch:
        """A batch of tasks on a split's classes; see `Episodes.sample`.

        Args:
          draw: which batch; its stream says which split.
          num_shots: K, support images per class.
          num_queries: query images per class.
        """
        base = tf.random.fold_in(
            tf.constant([draw.seed, draw.stream.value]), draw.iteration, alg=GENERATOR
        )
        by_class = self.class_labels and draw.stream is TaskStream.TRAINING
        batches, first = [], 0
        for mode, episodes in enumerate(self._of(draw.stream)):
            batch = episodes.sample(
                tf.random.fold_in(base, mode, alg=GENERATOR) if mode else base,
                draw.num_tasks // len(self._modes),
                self.num_ways,
                num_shots,
                num_queries,
                by_class,
            )
            if by_class:  # of all modes' classes, one mode's after the other's
                support, query = (e._replace(y=e.y + first) for e in (batch.support, batch.query))
                batch = batch._replace(support=support, query=query)
                first += episodes.num_classes
            batches.append(batch._replace(mode=batch.mode + mode))
        return joined(batches)

    def _of(self, stream: TaskStream) -> Sequence[Episodes]:
        if stream not in self._episodes:
            with tf.init_scope():  # tensors made inside a graph would not outlive it
                self._episodes[stream] = [episodes(stream) for episodes in self._modes]
        return self._episodes[stream]

    def labelled_by_class(self) -> Self:
        """The same tasks; the labels of the training tasks are those of all training classes."""
        tasks = copy.copy(self)
        tasks.class_labels = True
        return tasks

    @property
    def num_classes(self) -> int:
        """Training classes, of all modes."""
        return sum(episodes.num_classes for episodes in self._of(TaskStream.TRAINING))


def joined(batches: Sequence[TaskBatch]) -> TaskBatch:
    """Batches as one."""
    return tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *batches)


def split(num_classes: int, seed: int, ends: Sequence[int]) -> Mapping[TaskStream, np.ndarray]:
    """Disjoint random sets of class indices: for training up to the first end, for validation up
    to the second, and the rest for the test."""
    order = np.random.default_rng(seed).permutation(num_classes)
    return by_stream(np.split(order, ends))


def by_stream(parts: Sequence[np.ndarray]) -> Mapping[TaskStream, np.ndarray]:
    """Class indices for training, validation and the test."""
    streams = (TaskStream.TRAINING, TaskStream.VALIDATION, TaskStream.EVALUATION)
    return dict(zip(streams, parts, strict=True))
