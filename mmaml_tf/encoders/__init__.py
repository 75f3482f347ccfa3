"""Task encoders: from what is seen of a task to its embedding v, one file each.

An encoder is a Keras layer. In supervised domains it is called with a support set, x [tasks, K,
...] and y [tasks, K, ...], in reinforcement learning with trajectories (`tasks.Rollouts`); it
returns v [tasks, v_dim]. Adding one is one file: a class with

    @register("mine", "regression")

whose first argument is its width (for images: channels and width), with a default for the library;
`--encoder=mine` selects it. Free of TensorFlow.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from mmaml_tf.registries import Registry

Encoder = TypeVar("Encoder")

ENCODERS: Registry[Any] = Registry(
    {
        "regression": ("mmaml_tf.encoders.lstm", "mmaml_tf.encoders.pairs"),
        "classification": ("mmaml_tf.encoders.images", "mmaml_tf.encoders.labelled_images"),
        "rl": ("mmaml_tf.encoders.moments", "mmaml_tf.encoders.gru"),
    }
)


def register(name: str, *kinds: str) -> Callable[[Encoder], Encoder]:
    """Makes an encoder available under `name` in domains of these kinds."""

    def add(encoder: Encoder) -> Encoder:
        ENCODERS.add(name, kinds, encoder)
        return encoder

    return add


def of(kind: str) -> dict[str, Any]:
    """The encoders that domains of a kind know, by name."""
    return ENCODERS.of(kind)
