"""Task distribution p(T) of the Omniglot domain: episodes over split characters."""

import functools
from typing import Any, Self

import numpy as np
import tensorflow as tf

from data.episodes import GENERATOR, Episodes, EpisodeTasks, joined, split
from data.omniglot_characters import SIZE, Characters, load
from mmaml_tf.config import ConfigError
from mmaml_tf.tasks import Draw, TaskBatch, TaskStream

# Classes of a task of one alphabet: few alphabets have more test characters than some ten.
ALPHABET_WAYS = 5


def episodes(characters: Characters) -> Episodes:
    """Those over some characters; a class is a character in one of its four rotations."""
    number, drawings, size, _ = characters.images.shape
    images = characters.images.reshape(-1, size, size, 1)
    return Episodes(images, np.full(number, drawings), rotated=True)


class OmniglotTasks(EpisodeTasks):
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
        parts = split(len(characters), split_seed, (num_train, num_train + num_validation))
        splits = {stream: characters.chosen(part) for stream, part in parts.items()}
        super().__init__([lambda stream: episodes(splits[stream])], num_ways, (SIZE, SIZE, 1))
        self.splits = splits
        for stream, members in splits.items():
            if len(members) < num_ways:
                raise ConfigError(
                    "num_ways",
                    num_ways,
                    f"the {stream.name.lower()} split has {len(members)} of the "
                    f"{len(characters)} characters (--train_characters, --validation_characters)",
                )

    @classmethod
    def load(cls, data_dir: str, *args: Any, **kwargs: Any) -> Self:
        """The tasks over the characters of a folder (see `omniglot_characters.load`)."""
        return cls(_characters(data_dir), *args, **kwargs)

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
            stream_seed = tf.constant([seed, TaskStream.EVALUATION.value])
            batch = episodes(test.chosen(np.flatnonzero(test.alphabets == name))).sample(
                tf.random.fold_in(stream_seed, index, alg=GENERATOR),
                tasks_each,
                num_ways,
                num_shots,
                1,
            )
            batches.append(batch._replace(mode=tf.fill([tasks_each], index)))
        if not batches:
            return self.sample(Draw(TaskStream.EVALUATION, seed, 0, 1), num_shots, 1), []
        return joined(batches), names


@functools.lru_cache(maxsize=1)
def _characters(data_dir: str) -> Characters:
    """`load`, once for all the runs of a report."""
    return load(data_dir)
