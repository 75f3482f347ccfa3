"""A transformer that reads the support set: what one would pick today."""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.learners.without_steps import WithoutSteps
from mmaml_tf.methods import register
from mmaml_tf.tasks import Examples


class Block(keras.layers.Layer):
    """Attention to the support set and a small MLP, each added to what it reads; norms come first.

    Args:
      width: of tokens.
      heads: of the attention.
    """

    def __init__(self, width: int, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.norms = [keras.layers.LayerNormalization() for _ in range(2)]
        self.attention = keras.layers.MultiHeadAttention(heads, width // heads)
        self.mlp = keras.Sequential(
            [keras.layers.Dense(2 * width, activation="gelu"), keras.layers.Dense(width)]
        )

    def build(self, input_shape: tuple) -> None:
        """Creates the weights, for tokens [tasks, N, width]."""
        for norm in self.norms:
            norm.build(input_shape)
        self.attention.build(input_shape, input_shape)
        self.mlp.build(input_shape)

    def call(self, tokens: tf.Tensor, num_support: int | tf.Tensor) -> tf.Tensor:
        """Tokens [tasks, K + N, width] that read the first K."""
        first, second = self.norms
        read = first(tokens)
        tokens = tokens + self.attention(read, read[:, :num_support])
        return tokens + self.mlp(second(tokens))


@register("in_context", "regression", "classification")
class InContext(WithoutSteps):
    """Queries attend to the support set, whose points attend to one another; trained on the tasks
    as they are (transformer neural processes without attention among targets, Nguyen & Grover 2022,
    arXiv:2207.04179; prior-data fitted networks, Mueller et al. 2022, arXiv:2112.10510).

    The order of the support points does not matter, nor do other queries, unless batch norm in the
    model makes them depend on one another.

    Args:
      model: embeds an input x.
      num_outputs: width of the predictions: with labels as targets, the classes of a task.
      width: of tokens.
      depth: how many blocks.
      heads: of each attention.
      **settings: see `MetaLearner`.

    Raises:
      ValueError: if heads do not divide the width.
    """

    SETTINGS = ("outputs", "transformer")

    def __init__(
        self,
        model: keras.Model,
        *,
        num_outputs: int,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        **settings: Any,
    ):
        super().__init__(model, num_outputs=num_outputs, **settings)
        if width % heads:
            raise ValueError(f"heads={heads} do not divide width={width}")
        self.embed_x, self.embed_y = keras.layers.Dense(width), keras.layers.Dense(width)
        self.blocks = [Block(width, heads, name=f"block_{index}") for index in range(depth)]
        self.norm = keras.layers.LayerNormalization()
        self.head = keras.layers.Dense(num_outputs)
        self.embed_x.build(model.output_shape)
        self.embed_y.build((None, num_outputs))
        for layer in (*self.blocks, self.norm, self.head):
            layer.build((None, None, width))

    def parameter_groups(self) -> list[list[keras.Variable]]:
        """The embedding's weights and the transformer's."""
        layers = (self.embed_x, self.embed_y, *self.blocks, self.norm, self.head)
        own = [variable for layer in layers for variable in layer.trainable_variables]
        return [[*self.network.trainable_variables, *own]]

    def answer(self, support: Examples, queries: tf.Tensor) -> tf.Tensor:
        """See `WithoutSteps`."""
        y = support.y
        if self.targets.num_classes is not None:
            y = tf.one_hot(y, self.targets.num_classes, dtype=queries.dtype)
        num_support = tf.shape(y)[1] if y.shape[1] is None else y.shape[1]
        tokens = tf.concat([self.embed_x(support.x) + self.embed_y(y), self.embed_x(queries)], 1)
        for block in self.blocks:
            tokens = block(tokens, num_support=num_support)
        return self.head(self.norm(tokens[:, num_support:]))
