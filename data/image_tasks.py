"""Task distribution p(T) over image sets: N-way K-shot episodes, each within one set."""

import copy
import functools
from collections.abc import Sequence
from typing import Self

import numpy as np
import tensorflow as tf

from data.image_sets import ImageSet, load
from data.omniglot import GENERATOR, ROTATIONS, distinct
from mmaml_tf.config import ConfigError
from mmaml_tf.tasks import Draw, Examples, TaskBatch, TaskStream


class SetEpisodes:
    """Episodes over some classes of a set.

    Args:
      images: the set.
      classes: indices of its classes.
      rotated: whether every class also comes turned by 90, 180 and 270 degrees, as a class of its
        own; a task has no class twice.
    """

    def __init__(self, images: ImageSet, classes: np.ndarray, rotated: bool):
        sizes = np.diff(images.starts)[classes]
        rows = [np.arange(images.starts[c], images.starts[c + 1]) for c in classes]
        self.rotations = ROTATIONS if rotated else 1
        self.num_classes = len(classes) * self.rotations
        self._images = tf.constant(images.images[np.concatenate(rows)])
        self._sizes = tf.constant(sizes, tf.int32)
        self._starts = tf.constant(np.concatenate([[0], np.cumsum(sizes)[:-1]]), tf.int32)
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
        """A batch of tasks, a pure function of the seed; see `data.omniglot.Episodes.sample`.

        Returns:
          Support x [M, N * K, size, size, 3] in 0..1 and y [M, N * K] int32, class after class, the
          query set likewise, and the single mode 0.
        """
        seeds = tf.unstack(tf.random.split(seed, 3, alg=GENERATOR))
        classes = distinct(seeds[0], [num_tasks], len(self._sizes), num_ways)
        turns = tf.random.stateless_uniform(
            [num_tasks, num_ways], seeds[1], 0, self.rotations, tf.int32, alg=GENERATOR
        )
        number = num_shots + num_queries
        sizes = tf.gather(self._sizes, classes)
        chosen = distinct(seeds[2], [num_tasks, num_ways], self._largest, number, sizes)
        rows = tf.gather(self._starts, classes)[..., None] + chosen
        labels = tf.tile(tf.range(num_ways)[None], [num_tasks, 1])
        if class_labels:
            labels = classes * self.rotations + turns

        def examples(rows: tf.Tensor) -> Examples:
            per_class = rows.shape[-1]
            images = tf.gather(self._images, rows)
            if self.rotations > 1:
                images = _turned(images, turns)
            images = tf.reshape(images, [num_tasks, num_ways * per_class, *self._images.shape[1:]])
            if images.shape[-1] == 1:
                images = tf.repeat(images, 3, -1)
            return Examples(tf.cast(images, tf.float32) / 255.0, tf.repeat(labels, per_class, 1))

        mode = tf.zeros([num_tasks], tf.int32)
        return TaskBatch(examples(rows[..., :num_shots]), examples(rows[..., num_shots:]), mode)


def _turned(images: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """[tasks, ways, N, size, size, channels], those of a class turned so many times by 90 degrees,
    as `np.rot90` does."""
    swapped = tf.transpose(images, [0, 1, 2, 4, 3, 5])
    each = [images, swapped[..., ::-1, :, :], images[..., ::-1, ::-1, :], swapped[..., ::-1, :]]
    return tf.gather(tf.stack(each, 2), turns, axis=2, batch_dims=2)


class ImageSetTasks:
    """Training, validation and test tasks; a batch has equally many of each set, sorted by set.

    Args:
      sets: each is a mode.
      num_ways: N, classes per task.
      num_images: K and the queries, of which a class must have as many images.
      rotated: names of the sets whose classes are also turned.

    Raises:
      ConfigError: if a split has fewer classes than a task, or a class fewer images than a task
        needs.
    """

    def __init__(
        self, sets: Sequence[ImageSet], num_ways: int, num_images: int, rotated: Sequence[str] = ()
    ):
        self.num_ways = num_ways
        self.class_labels = False
        self._sets = sets
        self._rotated = rotated
        self._episodes: dict[TaskStream, list[SetEpisodes]] = {}
        for images in sets:
            _require_enough(images, num_ways, num_images)

    @classmethod
    @functools.lru_cache(maxsize=1)
    def load(
        cls,
        paths: Sequence[str],
        size: int,
        split_seed: int,
        num_ways: int,
        num_images: int,
        rotated: Sequence[str],
    ) -> Self:
        """Reads the sets (`data.image_sets.load`), once for all the runs of a report."""
        sets = [load(path, size, split_seed) for path in paths]
        return cls(sets, num_ways, num_images, rotated)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        size = self._sets[0].images.shape[1]
        return (size, size, 3)

    def sample(self, draw: Draw, num_shots: int, num_queries: int) -> TaskBatch:
        """A batch of tasks on a split's classes.

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
                tf.random.fold_in(base, mode, alg=GENERATOR),
                draw.num_tasks // len(self._sets),
                self.num_ways,
                num_shots,
                num_queries,
                by_class,
            )
            if by_class:  # of all sets' classes, one set's after the other's
                support, query = (e._replace(y=e.y + first) for e in (batch.support, batch.query))
                batch = batch._replace(support=support, query=query)
                first += episodes.num_classes
            batches.append(batch._replace(mode=batch.mode + mode))
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *batches)

    def _of(self, stream: TaskStream) -> list[SetEpisodes]:
        if stream not in self._episodes:
            with tf.init_scope():  # tensors made inside a graph would not outlive it
                self._episodes[stream] = [
                    SetEpisodes(images, images.splits[stream], images.name in self._rotated)
                    for images in self._sets
                ]
        return self._episodes[stream]

    def labelled_by_class(self) -> Self:
        """The same tasks; the labels of the training tasks are those of all training classes."""
        tasks = copy.copy(self)
        tasks.class_labels = True
        return tasks

    @property
    def num_classes(self) -> int:
        """Training classes, of all sets."""
        return sum(episodes.num_classes for episodes in self._of(TaskStream.TRAINING))

    def grouped_tasks(
        self, seed: int, num_groups: int, tasks_each: int, num_shots: int
    ) -> tuple[TaskBatch, list[str]]:
        """Test tasks, `mode` being the index of their set, and the sets' names."""
        names = [images.name for images in self._sets]
        number = tasks_each * len(names)
        return self.sample(Draw(TaskStream.EVALUATION, seed, 0, number), num_shots, 1), names


def _require_enough(images: ImageSet, num_ways: int, num_images: int) -> None:
    sizes = np.diff(images.starts)
    for stream, classes in images.splits.items():
        if len(classes) < num_ways:
            raise ConfigError(
                "num_ways",
                num_ways,
                f"the {stream.name.lower()} split of {images.name} has {len(classes)} classes",
            )
        smallest = classes[np.argmin(sizes[classes])]
        if sizes[smallest] < num_images:
            raise ConfigError(
                "image_sets",
                images.name,
                f"{images.names[smallest]} has {sizes[smallest]} images, and a task needs "
                f"{num_images} of a class (--num_shots and the queries)",
            )
