"""Task distribution p(T) of the Omniglot domain: N-way K-shot episodes over split characters."""

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import tensorflow as tf

from data.omniglot_characters import DRAWINGS, SIZE, Characters, load
from mmaml_tf.config import ConfigError
from mmaml_tf.tasks import Draw, Examples, TaskBatch, TaskStream

ROTATIONS = 4
# Classes of a task of one alphabet: few alphabets have more test characters than some ten.
ALPHABET_WAYS = 5
# TensorFlow's own choice outside XLA; named, the draws are the same inside.
GENERATOR = "philox"


class Episodes:
    """N-way K-shot tasks over a set of characters.

    A class is a character in one of its four rotations by 90 degrees. The N classes of a task are
    N different characters, each in a rotation of its own, as in [MAML]'s code: one character in
    two rotations would be two equal classes where it is symmetric. Classes come in random order,
    so a label says nothing of a class; support and query images are different drawings.

    Args:
      characters: to choose from.
    """

    def __init__(self, characters: Characters):
        self.num_characters = len(characters)
        turned = [np.rot90(characters.images, turns, axes=(2, 3)) for turns in range(ROTATIONS)]
        size = characters.images.shape[-1]
        # Row (character * ROTATIONS + turns) * DRAWINGS + drawing: an episode is one gather.
        self._images = tf.constant(np.stack(turned, 1).reshape(-1, size, size, 1))

    @property
    def num_classes(self) -> int:
        """Characters in each of their rotations."""
        return self.num_characters * ROTATIONS

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
          Support x [M, N * K, 28, 28, 1] in 0..1 and y [M, N * K] int32, class after class, the
          query set likewise, and the single mode 0.
        """
        character_seed, turn_seed, drawing_seed = tf.unstack(
            tf.random.split(seed, 3, alg=GENERATOR)
        )
        character = distinct(character_seed, [num_tasks], self.num_characters, num_ways)
        turns = tf.random.stateless_uniform(
            [num_tasks, num_ways], turn_seed, 0, ROTATIONS, tf.int32, alg=GENERATOR
        )
        drawing = distinct(drawing_seed, [num_tasks, num_ways], DRAWINGS, num_shots + num_queries)
        classes = character * ROTATIONS + turns
        rows = classes[..., None] * DRAWINGS + drawing
        labels = classes if class_labels else tf.tile(tf.range(num_ways)[None], [num_tasks, 1])

        def examples(rows: tf.Tensor) -> Examples:
            per_class = rows.shape[-1]
            images = tf.gather(self._images, tf.reshape(rows, [num_tasks, num_ways * per_class]))
            return Examples(tf.cast(images, tf.float32) / 255.0, tf.repeat(labels, per_class, 1))

        return TaskBatch(
            examples(rows[..., :num_shots]),
            examples(rows[..., num_shots:]),
            tf.zeros([num_tasks], tf.int32),
        )


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


class OmniglotTasks:
    """Training, validation and test tasks over disjoint characters.

    Args:
      characters: all of them.
      split_seed: of the random split.
      num_train: characters to train on.
      num_validation: characters to pick the checkpoint with; the rest is for the test.
      num_ways: N, classes per task.

    Raises:
      ConfigError: if a split has fewer characters than a task has classes.
    """

    def __init__(
        self,
        characters: Characters,
        split_seed: int,
        num_train: int,
        num_validation: int,
        num_ways: int,
    ):
        self.num_ways = num_ways
        self.class_labels = False
        self.splits = split(characters, split_seed, num_train, num_validation)
        for stream, members in self.splits.items():
            if len(members) < num_ways:
                raise ConfigError(
                    "num_ways",
                    num_ways,
                    f"the {stream.name.lower()} split has {max(len(members), 0)} of the "
                    f"{len(characters)} characters (--train_characters, --validation_characters)",
                )
        self._episodes: dict[TaskStream, Episodes] = {}

    @classmethod
    def load(cls, data_dir: str, *args, **kwargs) -> Self:
        """The tasks over the characters of a folder (see `omniglot_characters.load`)."""
        return cls(_characters(data_dir), *args, **kwargs)

    def sample(self, draw: Draw, num_shots: int, num_queries: int) -> TaskBatch:
        """A batch of tasks on a split's characters; see `Episodes.sample`."""
        base = tf.random.fold_in(
            tf.constant([draw.seed, draw.stream.value]), draw.iteration, alg=GENERATOR
        )
        return self._of(draw.stream).sample(
            base,
            draw.num_tasks,
            self.num_ways,
            num_shots,
            num_queries,
            self.class_labels and draw.stream is TaskStream.TRAINING,
        )

    def _of(self, stream: TaskStream) -> Episodes:
        if stream not in self._episodes:
            with tf.init_scope():  # a table made inside a graph would not outlive it
                self._episodes[stream] = Episodes(self.splits[stream])
        return self._episodes[stream]

    def labelled_by_class(self) -> Self:
        """The same tasks; the labels of the training tasks are those of all training classes."""
        tasks = copy.copy(self)
        tasks.class_labels = True
        return tasks

    @property
    def num_classes(self) -> int:
        """Training classes."""
        return self._of(TaskStream.TRAINING).num_classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (SIZE, SIZE, 1)

    def grouped_tasks(
        self, seed: int, num_groups: int, tasks_each: int, num_shots: int
    ) -> tuple[TaskBatch, list[str]]:
        """Test tasks whose classes are all of one alphabet; they have 5 ways at most.

        Returns:
          The tasks, `mode` being the index of their alphabet, and the alphabets' names: those with
          the most test characters, fewer than asked for if few have as many as a task needs.
        """
        test = self.splits[TaskStream.EVALUATION]
        alphabets, counts = np.unique(test.alphabets, return_counts=True)
        largest = np.argsort(-counts, kind="stable")[:num_groups]
        num_ways = min(self.num_ways, ALPHABET_WAYS)
        names = [str(alphabets[i]) for i in largest if counts[i] >= num_ways]
        batches = []
        for index, name in enumerate(names):
            episodes = Episodes(test.chosen(np.flatnonzero(test.alphabets == name)))
            stream_seed = tf.constant([seed, TaskStream.EVALUATION.value])
            batch = episodes.sample(
                tf.random.fold_in(stream_seed, index, alg=GENERATOR),
                tasks_each,
                num_ways,
                num_shots,
                1,
            )
            batches.append(batch._replace(mode=tf.fill([tasks_each], index)))
        if not batches:
            return self.sample(Draw(TaskStream.EVALUATION, seed, 0, 1), num_shots, 1), []
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *batches), names


def split(
    characters: Characters, seed: int, num_train: int, num_validation: int
) -> Mapping[TaskStream, Characters]:
    """Disjoint random sets of characters: for training, for validation, and the rest."""
    order = np.random.default_rng(seed).permutation(len(characters))
    ends = (num_train, num_train + num_validation)
    parts: Sequence[np.ndarray] = np.split(order, ends)
    streams = (TaskStream.TRAINING, TaskStream.VALIDATION, TaskStream.EVALUATION)
    return {s: characters.chosen(part) for s, part in zip(streams, parts, strict=True)}


@functools.lru_cache(maxsize=1)
def _characters(data_dir: str) -> Characters:
    """`load`, once for all the runs of a report."""
    return load(data_dir)
