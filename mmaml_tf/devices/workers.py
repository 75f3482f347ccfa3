"""What a training asks of the processes that share it; a process alone is the simplest case."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from mmaml_tf.config import ConfigError


class Workers:
    """The processes that train one run; of this class itself, one process alone.

    Each computes its share of every meta-batch, and what follows from the mean over all of them.
    So all have the same weights, bit by bit, and those of one process up to rounding.

    Args:
      index: of this process; 0 is the first worker, who alone writes the run folder.
      count: of all.
    """

    def __init__(self, index: int = 0, count: int = 1):
        self.index = index
        self.count = count

    @property
    def is_first(self) -> bool:
        """Whether this is the worker who writes."""
        return self.index == 0

    @property
    def name(self) -> str:
        """For messages."""
        return name_of(self.index, self.count)

    def mean(self, parts: Any) -> Any:
        """The mean over the workers of a nest of tensors; of None, None.

        All workers have to ask for it, with tensors of the same shapes.
        """
        return parts

    def gathered(self, text: str) -> list[str]:
        """What every worker gave, in their order; likewise."""
        return [text]

    def wait(self) -> None:
        """Waits until all workers are here."""
        self.gathered("")

    def share(self, batch: Any) -> Any:
        """This worker's tasks of a batch: every n-th one [tasks / n, ...].

        Tasks that are sorted by mode, equally many of each, are so in every share. What has no
        task axis, such as the number of an iteration, is the same for all.
        """
        if self.count == 1:
            return batch
        return tf.nest.map_structure(
            lambda part: part if part.shape.rank == 0 else part[self.index :: self.count], batch
        )

    def require_shares(self, num_tasks: int, num_modes: int = 1) -> None:
        """Checks that the shares of a batch are equal.

        Args:
          num_tasks: of the batch.
          num_modes: whose tasks must be equally many in a share.

        Raises:
          ConfigError: if they are not.
        """
        parts = self.count * num_modes
        if num_tasks % parts:
            modes = f" x {num_modes} modes" if num_modes > 1 else ""
            raise ConfigError(
                "meta_batch_size",
                num_tasks,
                f"must be a multiple of {parts} for {self.count} workers{modes}, such as "
                f"{-(-num_tasks // parts) * parts}",
            )

    def part(self) -> None:
        """Waits until all are here, and lets each end when it likes: none may ask any more."""

    @contextlib.contextmanager
    def first_one_first(self) -> Iterator[None]:
        """What is wrapped, the first worker does before the others."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


ALONE = Workers()


def name_of(index: int, count: int) -> str:
    """A worker as messages count them, from 1."""
    return f"worker {index + 1} of {count}"
