"""Workers that TensorFlow's collective operations join.

Of `tf.distribute` this takes the all-reduce alone: variables, optimizer and `fit` stay those of one
process. Within a strategy's scope Keras would clip every worker's gradient by itself and add up
the results.
"""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mmaml_tf.devices.cluster import Cluster
from mmaml_tf.devices.watch import Watch
from mmaml_tf.devices.workers import ALONE, Workers, name_of
from mmaml_tf.errors import RunError, reason

# How TensorFlow says that another process does not answer.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


@contextlib.contextmanager
def joined(cluster: Cluster | None) -> Iterator[Workers]:
    """The workers of a cluster, until all have done; without one this process alone.

    Raises:
      RunError: if one of them is gone.
    """
    if cluster is None:
        yield ALONE
        return
    workers = JoinedWorkers(cluster)
    try:
        yield workers
        workers.part()
    except tf.errors.OpError as error:
        if workers.watch.has_ended:  # nobody else took part in what went wrong
            raise
        gone = workers.watch.gone()
        if not gone and not isinstance(error, LOST):
            raise
        gone = gone or workers.watch.gone_soon()
        raise RunError(workers.lost(*gone[:1])) from error
    finally:
        workers.watch.end()


class JoinedWorkers(Workers):
    """The workers of a cluster; made before TensorFlow computes anything, it waits for all.

    Args:
      cluster: of the processes.

    Raises:
      RunError: if it can't join them.
    """

    def __init__(self, cluster: Cluster):
        super().__init__(cluster.index, len(cluster.addresses))
        self.cluster = cluster
        devices = tf.config.list_physical_devices("GPU")
        if len(devices) > 1:
            tf.config.set_visible_devices(devices[cluster.device % len(devices)], "GPU")
        print(f"{self.name} waits for the others", flush=True)
        try:
            self._strategy = _strategy()
        except tf.errors.OpError as error:
            own = cluster.addresses[cluster.index]
            raise RunError(
                f"{self.name} can't join the others ({reason(error)}): its port, "
                f"{own}, must be free, and all must be able to reach it"
            ) from error
        others = [a for a in cluster.addresses if a != cluster.addresses[cluster.index]]
        self.watch = Watch(others, self.lost)
        self.watch.start()

    def part(self) -> None:
        """See `Workers`; once."""
        if not self.watch.has_ended:
            self.wait()
            self.watch.end()

    def lost(self, address: str | None = None) -> str:
        """What to say of a worker that is gone."""
        who = "another worker"
        if address is not None:
            index = self.cluster.addresses.index(address)
            who = f"{name_of(index, self.count)} ({address})"
        return (
            f"{who} is gone, and its own last line may say why: give all {self.count} workers the "
            "same command again, and training goes on from the last checkpoint"
        )

    def mean(self, parts: Any) -> Any:
        """See `Workers`: one all-reduce of one vector."""
        flat = tf.nest.flatten(parts)
        # Embeddings' gradients are slices.
        tensors = [tf.convert_to_tensor(part) for part in flat if part is not None]
        vector = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
        pieces = tf.split(self._reduced(vector, "MEAN"), [t.shape.num_elements() for t in tensors])
        means = iter(
            tf.reshape(piece, tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)
        )
        return tf.nest.pack_sequence_as(
            parts, [None if part is None else next(means) for part in flat]
        )

    def gathered(self, text: str) -> list[str]:
        """See `Workers`: first the lengths, then the bytes, each in a row of its own."""
        content = list(text.encode())
        lengths = self._rows([len(content)])[:, 0]
        # One more, since there may be none.
        rows = self._rows(content + [0] * (max(lengths) + 1 - len(content)))
        return [bytes(row[:n]).decode() for row, n in zip(rows.tolist(), lengths, strict=True)]

    def _rows(self, row: list[int]) -> npt.NDArray[np.int32]:
        """Every worker's row of whole numbers below 2^24, which every device can add as floats."""
        own = np.zeros([self.count, len(row)], np.float32)
        own[self.index] = row
        summed = self._reduced(tf.constant(own.ravel()), "SUM")
        return summed.numpy().reshape(own.shape).astype(np.int32)

    def _reduced(self, vector: tf.Tensor, how: str) -> tf.Tensor:
        reduce = self._all_reduce if tf.inside_function() else self._all_reduce_alone
        return reduce(vector, how)

    def _all_reduce(self, vector: tf.Tensor, how: str) -> tf.Tensor:
        def all_reduce(own: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(how, tf.identity(own))

        return self._strategy.run(all_reduce, args=(vector,))

    _all_reduce_alone = tf.function(_all_reduce, reduce_retracing=True, autograph=False)


def _strategy() -> tf.distribute.Strategy:
    """Waits for all workers; Ctrl-C ends that, which Python would not come round to."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        signal.signal(signal.SIGINT, before)
