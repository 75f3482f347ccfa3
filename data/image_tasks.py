"""Task distribution p(T) over image sets: episodes, each within one set."""

import functools
from collections.abc import Sequence
from typing import Self

import numpy as np

from data.episodes import Episodes, EpisodeTasks
from data.image_sets import ImageSet, load
from mmaml_tf.config import ConfigError
from mmaml_tf.tasks import Draw, TaskBatch, TaskStream

CHANNELS = 3


class ImageSetTasks(EpisodeTasks):
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
        size = sets[0].images.shape[1]
        modes = [functools.partial(_episodes, images, images.name in rotated) for images in sets]
        super().__init__(modes, num_ways, (size, size, CHANNELS))
        self.names = [images.name for images in sets]
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

    def grouped_tasks(
        self, seed: int, num_groups: int, tasks_each: int, num_shots: int
    ) -> tuple[TaskBatch, list[str]]:
        """Test tasks, `mode` being the index of their set, and the sets' names."""
        number = tasks_each * len(self.names)
        return self.sample(Draw(TaskStream.EVALUATION, seed, 0, number), num_shots, 1), self.names


def _episodes(images: ImageSet, rotated: bool, stream: TaskStream) -> Episodes:
    classes = images.splits[stream]
    rows = [np.arange(images.starts[c], images.starts[c + 1]) for c in classes]
    sizes = np.diff(images.starts)[classes]
    return Episodes(images.images[np.concatenate(rows)], sizes, rotated, CHANNELS)


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
