"""The modulator: from what is known of a task to tau (parameters omega)."""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.errors import reason
from mmaml_tf.layers.modulation import Modulation
from mmaml_tf.networks.task_network import TaskNetwork

# Layers that act in training alone, and how strongly: 0 is not at all.
NOISES = (
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
STRENGTHS = ("rate", "stddev")
# The same as arguments of recurrent and attention layers.
DROPOUTS = ("dropout", "recurrent_dropout")


class Modulator(keras.layers.Layer):
    """v = encoder(inputs), and one linear head per site: tau_1 ... tau_N. [MuMoMAML] 3.1.

    Supervised learning calls it with the support set, reinforcement learning with trajectories:
    the inputs are whatever the encoder takes.

    Args:
      encoder: inputs -> task embedding v [tasks, v_dim].
      modulation: says how many numbers a site needs.
      site_units: units (or channels) of each modulated site.
      head_initializer: of the heads' weights, by the name that Keras has for it.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        modulation: Modulation,
        site_units: Sequence[int],
        head_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.heads = [
            keras.layers.Dense(modulation.num_parameters(u), kernel_initializer=head_initializer)
            for u in site_units
        ]

    def build_on(self, *inputs: Any) -> None:
        """Creates omega, by a first call on inputs of the right shapes.

        Raises:
          ValueError: if the encoder takes other inputs, does not return [tasks, v_dim], or has
            layers that would not do as they say.
        """
        try:
            embedding = self.encoder(*inputs)
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"{self.encoder.name}: can't encode such tasks "
                f"({reason(error)}); encoder=... takes any layer that makes an embedding of a "
                "support set, x and y, or of trajectories"
            ) from error
        _refuse(self.encoder)  # which has all its layers only now
        if embedding.shape.rank != 2 or embedding.shape[-1] is None:
            raise ValueError(
                f"{self.encoder.name}: must return task embeddings [tasks, v_dim], not of shape "
                f"{list(embedding.shape)}"
            )
        for head in self.heads:
            head.build((None, embedding.shape[-1]))
        self.built = True

    def call(self, *inputs: Any) -> tuple[list[tf.Tensor], tf.Tensor]:
        """tau, one [tasks, ...] tensor per site, and v [tasks, v_dim]."""
        embedding = self.encoder(*inputs)
        return [head(embedding) for head in self.heads], embedding


def _draws(layer: keras.layers.Layer) -> bool:
    """Whether it drops or adds something at random in training."""
    names = STRENGTHS if isinstance(layer, NOISES) else DROPOUTS
    found = [getattr(layer, name, 0) for name in names]
    return any(isinstance(value, numbers.Real) and float(value) > 0 for value in found)


def _refuse(encoder: keras.layers.Layer) -> None:
    """An encoder is called as for inference, in training too, and its penalties are not seen."""
    layers = [encoder]
    while layers:
        layer = layers.pop()
        if isinstance(layer, TaskNetwork):  # trains, and has refused what it can't
            continue
        layers += layer._flatten_layers(include_self=False, recursive=False)
        variables = layer.trainable_variables
        if isinstance(layer, keras.layers.BatchNormalization) or _draws(layer):
            why = "would do nothing in training"
        elif getattr(layer, "activity_regularizer", None) or any(v.regularizer for v in variables):
            why = "has a regularizer, which no loss would see"
        else:
            continue
        raise ValueError(
            f"{encoder.name}: its {layer.name} ({type(layer).__name__}) {why}; leave it out"
        )
