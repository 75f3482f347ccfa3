"""Base networks: the engine that runs a Keras model for many tasks, and the networks by name.

Adding one for the command is one file: a function with

    @register("mine", "classification")

that makes a Keras model of an image's shape, the number of classes N (None for the embedding
alone), the widths of its blocks, and whether its batch norm has a scale and a shift;
`--network=mine` selects it. Free of TensorFlow.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from mmaml_tf.registries import Registry

Build = Callable[..., Any]


class Network(NamedTuple):
    """A base network.

    Attributes:
      build: (image_shape, num_classes, filters, scale_shift) -> a Keras model.
      filters: the widths that it has by default; None for the domain's.
    """

    build: Build
    filters: tuple[int, ...] | None


NETWORKS: Registry[Network] = Registry(
    {"classification": ("mmaml_tf.networks.models",)}, made=lambda network: network.build
)
of = NETWORKS.of


def register(
    name: str, *kinds: str, filters: tuple[int, ...] | None = None
) -> Callable[[Build], Build]:
    """Makes a network available under `name` in domains of these kinds; see `Network`."""

    def add(build: Build) -> Build:
        NETWORKS.add(name, kinds, Network(build, filters))
        return build

    return add
