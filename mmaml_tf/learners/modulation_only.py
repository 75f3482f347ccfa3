"""Modulation without gradient steps: MuMoMAML's model-based half by itself."""

from typing import Any

import keras

from mmaml_tf.learners.mumomaml import MuMoMAML
from mmaml_tf.methods import register


@register("modulation", "regression", "classification")
class ModulationOnly(MuMoMAML):
    """f(x; theta, tau) with tau from the support set: taken to be the follow-up's "LSTM learner",
    which its code has not.

    Args:
      model: the base network.
      **settings: see `MuMoMAML`.
    """

    SETTINGS = ("modulation",)
    # Without steps nothing else says which class is which (choice).
    PUBLISHED = MuMoMAML.PUBLISHED | dict.fromkeys(
        ("omniglot", "image_sets"),
        dict(encoder="labelled_images", head_initializer="glorot_uniform"),
    )
    adapts_in_training = adapts_in_predictions = False

    def __init__(self, model: keras.Model, **settings: Any):
        super().__init__(model, inner_steps=0, **settings)
