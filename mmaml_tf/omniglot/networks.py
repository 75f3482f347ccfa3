"""Base network of the Omniglot domain: the conv net of [MAML], with or without modulation."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from mmaml_tf.base_network import LayeredNetwork, copies_per_task
from mmaml_tf.layers.batch_norm import FastScaleShift, normalised_conv
from mmaml_tf.layers.conv import FastConv2D
from mmaml_tf.layers.dense import FastDense, FastLayer
from mmaml_tf.layers.fast_weights import MaterialisedWeights, num_tasks_of
from mmaml_tf.layers.modulation import AffineModulation, FiLM, Modulation


class ConvNet(LayeredNetwork):
    """Blocks of conv, batch norm, modulation and ReLU; then the mean over positions; then linear.

    Block i: relu(modulation(normalise(h * W_i), tau_i)). Modulating *before* the normalisation
    would do nothing: it would be normalised away. FiLM brings a scale and a shift per channel, so
    batch norm's own are left out beside it [2019 code]; every other network has them, and they
    adapt like all of theta.

    Fully connected layers are convolutions of size 1 over one position, so that the network of
    [MAML] without convolutions is `ConvNet(filters, kernel_size=1, strides=1, flatten=True)`.

    Batch norm's statistics are always the task's own. A query set is normalised by its own ones,
    too, as in the papers: predictions on it then depend on one another (*transductive*). With
    `support_statistics`, `predict` normalises queries by the statistics of the support set.

    Args:
      filters: channels of each block.
      num_classes: N, width of the output (logits).
      modulation: of every block, or None.
      kernel_size: of all convolutions.
      strides: of all convolutions.
      flatten: whether an image's pixels become the channels of a single position first.
      support_statistics: whether `predict` normalises by the support set alone.
    """

    def __init__(
        self,
        filters: Sequence[int],
        num_classes: int,
        modulation: Modulation | None = None,
        kernel_size: int = 3,
        strides: int = 2,
        flatten: bool = False,
        support_statistics: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.modulation = modulation
        self.flatten = flatten
        self.support_statistics = support_statistics
        self.has_scale_shift = not isinstance(modulation, FiLM)
        self.blocks: list[list[FastLayer]] = []
        for channels in self.filters:
            block: list[FastLayer] = [FastConv2D(channels, kernel_size, strides)]
            if self.has_scale_shift:
                block.append(FastScaleShift())
            self.blocks.append(block)
        self.head = FastDense(num_classes, MaterialisedWeights)

    @property
    def fast_layers(self) -> list[FastLayer]:
        """All adaptable layers, first to last."""
        return [layer for block in self.blocks for layer in block] + [self.head]

    def build(self, input_shape: tuple) -> None:
        """Creates the layers for images [tasks, N, height, width, channels]."""
        height, width, channels = input_shape[2:]
        if self.flatten:
            channels *= height * width
        for block, filters in zip(self.blocks, self.filters, strict=True):
            for layer in block:
                layer.build((None, None, None, None, channels))
                channels = filters
        self.head.build((None, None, channels))

    def forward(
        self,
        x: tf.Tensor,
        fast: list[Any],
        tau: Sequence[tf.Tensor] | None = None,
        watch: Callable[[tf.Tensor], None] | None = None,
        num_rows: int | tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, list[Any]]:
        """See `BaseNetwork`. The trace is the fast weights.

        Args:
          x: images, [tasks, N, H, W, channels].
          fast: one set of fast weights per layer.
          tau: one [tasks, ...] tensor per block; None for none.
          watch: told of every fast weight.
          num_rows: batch norm's statistics come from the first so many of the N images; None for
            all.

        Raises:
          ValueError: if tau does not have one entry per block, or nothing to apply it.
        """
        if (tau is None) != (self.modulation is None):
            raise ValueError("modulation and modulation parameters go together")
        if tau is not None and len(tau) != len(self.blocks):
            raise ValueError(f"{len(tau)} modulation parameters for {len(self.blocks)} blocks")
        if watch is not None:
            fast = copies_per_task(fast, num_tasks_of(x), watch)
        weights = iter(fast)
        h = x
        if self.flatten:
            size = x.shape[2] * x.shape[3] * x.shape[4]
            h = tf.reshape(x, tf.concat([tf.shape(x)[:2], [1, 1, size]], 0))
        for index, (conv, *scale_shift) in enumerate(self.blocks):
            kernel = next(weights)
            scale, shift = next(weights).parts if scale_shift else (1.0, 0.0)
            modulation = self.modulation
            if isinstance(modulation, AffineModulation) and tau is not None:
                gain, offset = modulation.affine(tau[index])
                scale, shift = gain * scale, gain * shift
                shift = shift if offset is None else shift + offset
                modulation = None  # done
            h = normalised_conv(conv, h, kernel, scale, shift, num_rows)
            if modulation is not None and tau is not None:
                h = modulation(h, tau[index])
            h = tf.nn.relu(h)
        return self.head(tf.reduce_mean(h, [2, 3]), next(weights)), fast

    def predict(
        self,
        query_x: tf.Tensor,
        fast: list[Any],
        tau: Sequence[tf.Tensor] | None,
        support_x: tf.Tensor,
    ) -> tf.Tensor:
        """Logits of the query images, [tasks, N, num_classes]."""
        if not self.support_statistics:
            return self.forward(query_x, fast, tau)[0]
        num_support = tf.shape(support_x)[1]
        images = tf.concat([support_x, query_x], 1)
        return self.forward(images, fast, tau, num_rows=num_support)[0][:, num_support:]
