"""The modulator: from what is known of a task to tau (parameters omega)."""

import keras
import tensorflow as tf

from mmaml_tf.encoders import ModulationNetwork


class Modulator(keras.layers.Layer):
    """v = encoder(inputs), and from it tau_1 ... tau_N, one per modulated block. [MuMoMAML] 3.1.

    Supervised learning calls it with the support set, reinforcement learning with trajectories:
    the inputs are whatever the encoder takes.

    Args:
      encoder: inputs -> task embedding v [tasks, v_dim]; has `output_units`, which is v_dim.
      modulation_network: v -> tau.
    """

    def __init__(
        self, encoder: keras.layers.Layer, modulation_network: ModulationNetwork, **kwargs
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.modulation_network = modulation_network

    def build(self, input_shape: tuple) -> None:
        """Creates omega for the encoder's input shape."""
        self.encoder.build(input_shape)
        self.modulation_network.build((None, self.encoder.output_units))

    def call(self, *inputs) -> tuple[list[tf.Tensor], tf.Tensor]:
        """tau, one [tasks, ...] tensor per modulated block, and v [tasks, v_dim]."""
        embedding = self.encoder(*inputs)
        return self.modulation_network(embedding), embedding
