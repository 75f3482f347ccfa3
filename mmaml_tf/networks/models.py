"""The papers' base networks and the image encoder, as plain Keras models."""

from collections.abc import Sequence
from typing import TypeAlias

import keras

from mmaml_tf.layers.appended import BiasTransformation, LogStddev
from mmaml_tf.networks import register

Initializer: TypeAlias = str | keras.initializers.Initializer


def mlp(
    input_size: int,
    hidden_units: Sequence[int],
    output_units: int | None,
    activation: str = "relu",
    kernel_initializer: Initializer = "glorot_uniform",
    bias_transformation_size: int = 0,
) -> keras.Model:
    """Fully connected network; every hidden layer is a site.

    Args:
      input_size: width of the input.
      hidden_units: width of each hidden layer.
      output_units: width of the output, which is linear; None to end with the last hidden layer.
      activation: of the hidden layers.
      kernel_initializer: of all layers; each draws on its own.
      bias_transformation_size: length of the learned vector appended to the input; 0 for none.
    """
    layers = [keras.Input([input_size], name="input")]
    if bias_transformation_size:
        layers.append(BiasTransformation(bias_transformation_size, name="bias_transformation"))
    layers += _hidden(hidden_units, activation, kernel_initializer)
    if output_units is not None:
        layers.append(_dense(output_units, None, kernel_initializer, "output"))
    return keras.Sequential(layers, name="mlp")


def gaussian_policy(
    observation_size: int,
    hidden_units: Sequence[int],
    action_size: int,
    activation: str = "relu",
    kernel_initializer: Initializer = "glorot_uniform",
) -> keras.Model:
    """pi(a | s) = N(f(s), diag(sigma)^2) with an `mlp` f: [N, obs] to mean and log sigma side by
    side, [N, 2 act].

    Args:
      observation_size: numbers in an observation.
      hidden_units: width of each hidden layer; all are sites.
      action_size: numbers in an action.
      activation: of the hidden layers.
      kernel_initializer: of all layers; each draws on its own.
    """
    return keras.Sequential(
        [
            keras.Input([observation_size], name="input"),
            *_hidden(hidden_units, activation, kernel_initializer),
            _dense(action_size, None, kernel_initializer, "mean"),
            LogStddev(action_size, name="log_stddev"),
        ],
        name="gaussian_policy",
    )


@register("conv", "classification")
def conv_net(
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    filters: Sequence[int] = (64, 64, 64, 64),
    scale_shift: bool = True,
) -> keras.Model:
    """Blocks of 3x3 conv of stride 2, batch norm and ReLU; the mean over positions; linear. [MAML]

    Every block is a site, after its normalisation: modulating before it would do nothing, as it
    would be normalised away. There is no conv bias for the same reason. In [MAML]'s code batch norm
    has a shift alone, which the inner loop leaves as it is, and the last layer starts at N(0, 1);
    here it has both, they adapt, and all starts as in Keras (choice: it began faster).

    Args:
      image_shape: (height, width, channels).
      num_classes: N, width of the output (logits); None to end with the embedding.
      filters: channels of each block.
      scale_shift: whether batch norm has a scale and a shift of its own; beside FiLM, which brings
        both per task, they are left out [2019 code].
    """
    return keras.Sequential(
        [
            keras.Input(image_shape, name="image"),
            *_conv_blocks(filters, scale_shift),
            keras.layers.GlobalAveragePooling2D(name="mean"),
            *_logits(num_classes),
        ],
        name="conv_net",
    )


@register("max_pool", "classification")
def max_pool_net(
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    filters: Sequence[int] = (32, 32, 32, 32),
    scale_shift: bool = True,
) -> keras.Model:
    """[MAML]'s network for miniImageNet: blocks of 3x3 conv, batch norm, ReLU and 2x2 max-pooling;
    all positions flat; linear.

    Args: as in `conv_net`.
    """
    return keras.Sequential(
        [
            keras.Input(image_shape, name="image"),
            *_conv_blocks(filters, scale_shift, pooled=True),
            keras.layers.Flatten(name="positions"),
            *_logits(num_classes),
        ],
        name="max_pool_net",
    )


@register("mlp", "classification", filters=(256, 128, 64, 64))
def pixel_mlp(
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    hidden_units: Sequence[int] = (256, 128, 64, 64),
    scale_shift: bool = True,
) -> keras.Model:
    """[MAML]'s network without convolutions: dense layers on an image's pixels, with batch norm.

    Weights start at N(0, 0.01²), truncated, as in its code: since batch norm hides their size, a
    gradient step turns small ones further. At 500 iterations of Omniglot that is 80% and not 67%.

    Args:
      image_shape: (height, width, channels).
      num_classes: N, width of the output (logits); None to end with the embedding.
      hidden_units: width of each hidden layer; all are sites.
      scale_shift: as in `conv_net`.
    """
    start = keras.initializers.TruncatedNormal(stddev=0.01)
    layers = [keras.Input(image_shape, name="image"), keras.layers.Flatten(name="pixels")]
    for index, units in enumerate(hidden_units):
        name = f"dense_{index}"
        layers.append(
            keras.layers.Dense(units, use_bias=False, kernel_initializer=start.clone(), name=name)
        )
        layers += _norm_and_relu(index, scale_shift)
    return keras.Sequential([*layers, *_logits(num_classes, start)], name="pixel_mlp")


def image_encoder(
    image_shape: tuple[int, int, int],
    filters: Sequence[int] = (32, 64, 128, 256),
    units: int = 128,
) -> keras.Model:
    """g of the image encoder [2019 code]: conv blocks as in `conv_net`, a dense layer with ReLU.

    Args:
      image_shape: (height, width, channels).
      filters: channels of each conv.
      units: width of the embedding.
    """
    return keras.Sequential(
        [
            keras.Input(image_shape, name="image"),
            *_conv_blocks(filters, scale_shift=True),
            keras.layers.GlobalAveragePooling2D(name="mean"),
            keras.layers.Dense(units, activation="relu", name="embedding"),
        ],
        name="image_encoder",
    )


# Layers have names of their own here, by which sites are chosen and messages speak.


def _hidden(
    hidden_units: Sequence[int], activation: str, initializer: Initializer
) -> list[keras.layers.Layer]:
    return [
        _dense(units, activation, initializer, f"hidden_{index}")
        for index, units in enumerate(hidden_units)
    ]


def _dense(
    units: int, activation: str | None, initializer: Initializer, name: str
) -> keras.layers.Dense:
    # An initializer repeats its draw, so every layer gets a copy.
    if isinstance(initializer, keras.initializers.Initializer):
        initializer = initializer.clone()
    return keras.layers.Dense(units, activation, kernel_initializer=initializer, name=name)


def _logits(
    num_classes: int | None, initializer: Initializer = "glorot_uniform"
) -> list[keras.layers.Layer]:
    return [] if num_classes is None else [_dense(num_classes, None, initializer, "output")]


def _conv_blocks(
    filters: Sequence[int], scale_shift: bool, pooled: bool = False
) -> list[keras.layers.Layer]:
    layers: list[keras.layers.Layer] = []
    for index, channels in enumerate(filters):
        layers.append(
            keras.layers.Conv2D(
                channels,
                3,
                strides=1 if pooled else 2,
                padding="same",
                use_bias=False,
                name=f"conv_{index}",
            )
        )
        layers += _norm_and_relu(index, scale_shift)
        if pooled:
            layers.append(keras.layers.MaxPooling2D(name=f"pool_{index}"))
    return layers


def _norm_and_relu(index: int, scale_shift: bool) -> list[keras.layers.Layer]:
    return [
        keras.layers.BatchNormalization(
            scale=scale_shift, center=scale_shift, name=f"norm_{index}"
        ),
        keras.layers.ReLU(name=f"relu_{index}"),
    ]
