"""A task encoder of one's own, through the ordinary command.

python examples/own_encoder.py --encoder=means --domain=regression_2mode --preset=quick

It embeds every support point by itself and takes the mean, so their order does not matter.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import tensorflow as tf

import mmaml_tf as mm
import run_experiment


@mm.encoders.register("means", "regression")
class MeanEncoder(keras.layers.Layer):
    """v = g(mean_k f(x_k, y_k)), with f and g of two dense layers and one.

    Args:
      units: width of all layers, and of v; `--encoder_units`.
    """

    def __init__(self, units: int = 40):
        super().__init__()
        self.of_point = [keras.layers.Dense(units, activation="relu") for _ in range(2)]
        self.of_task = keras.layers.Dense(units)

    def call(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """x [tasks, K, in_dim], y [tasks, K, out_dim] -> v [tasks, units]."""
        h = tf.concat([x, y], -1)
        for layer in self.of_point:
            h = layer(h)
        return self.of_task(tf.reduce_mean(h, 1))


if __name__ == "__main__":
    sys.exit(run_experiment.main())
