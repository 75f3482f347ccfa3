"""A task encoder that reads a trajectory as a sequence, as published."""

import tensorflow as tf

from mmaml_tf.encoders import register
from mmaml_tf.encoders.long_gru import LongGRU
from mmaml_tf.encoders.trajectories import TrajectoryEncoder


@register("gru", "rl")
class GRUEncoder(TrajectoryEncoder):
    """Summarises a trajectory by the last state of a GRU over its steps [2019 code].

    The GRU is a loop in the graph, since 200 unrolled steps take minutes to trace; steps after an
    episode's end leave its state as it is.
    """

    def build_summary(self, width: int) -> int:
        """Creates the GRU, of as many cells as v has numbers."""
        self.gru = LongGRU(self.output_units)
        self.gru.build((None, None, width))
        return self.output_units

    def summary(self, steps: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The last state: [n, units]."""
        return self.gru(steps, mask=mask)
