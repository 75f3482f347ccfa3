"""Meta-SGD: MAML that learns how far each weight moves. [Meta-SGD]"""

from typing import Any

import keras

from mmaml_tf.learners.gradient_based import GradientBased
from mmaml_tf.methods import register


@register("meta_sgd", "regression", "classification")
class MetaSGD(GradientBased):
    """theta' = theta - alpha o grad L(theta), with a rate per weight, signs free (Li et al. 2017,
    arXiv:1707.09835).

    Args:
      model: the base network.
      **settings: see `GradientBased`; `inner_lr` is where the rates start (at MAML's: choice).
    """

    # On images and sine waves one step, as published. In the other regression tasks, which no paper
    # has, five as others, and MuMoMAML's limit (choice). Its rates are for so many: more diverge.
    PUBLISHED = {
        "regression": dict(inner_clip_norm=100.0, eval_steps=None),
        "omniglot": dict(inner_steps=1, eval_steps=1),
        "image_sets": dict(inner_steps=1, eval_steps=1),
    }

    def __init__(self, model: keras.Model, **settings: Any):
        super().__init__(model, learned_rates=True, **settings)
