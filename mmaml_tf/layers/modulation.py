"""Modulations: how tau_i = (what the task encoder says) changes block i of the base network.

Adding one: subclass `Modulation` (or `AffineModulation`, if it scales and shifts), decorate it with
`@register("name")`; `--modulation=name` then selects it.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from mmaml_tf.registries import require_same

# Of every site one [tasks, num_parameters] tensor; None where nothing is modulated.
Tau = list[tf.Tensor] | None

MODULATIONS: dict[str, type["Modulation"]] = {}


def register(name: str) -> Callable[[type["Modulation"]], type["Modulation"]]:
    """Makes a modulation available under `name`.

    Raises:
      ValueError: if another one has it.
    """

    def add(cls: type["Modulation"]) -> type["Modulation"]:
        require_same(name, MODULATIONS.get(name, cls), cls)
        MODULATIONS[name] = cls
        return cls

    return add


def modulation_named(name: str) -> "Modulation":
    """A new modulation of a registered name.

    Raises:
      ValueError: if there is none.
    """
    if name not in MODULATIONS:
        raise ValueError(f"modulation={name!r}: choose from {', '.join(MODULATIONS)}")
    return MODULATIONS[name]()


class Modulation(keras.layers.Layer):
    """Base class: (activations before the nonlinearity, tau) -> modulated activations.

    Attributes:
      scales_and_shifts: whether every unit gets any scale and any shift, so that a normalisation
        layer beside it needs none of its own.
    """

    scales_and_shifts = False

    def num_parameters(self, units: int) -> int:
        """How many numbers tau needs for a block of `units` units (or channels)."""
        return units

    def call(self, h: tf.Tensor, tau: tf.Tensor) -> tf.Tensor:
        """h [tasks, ..., units], tau [tasks, num_parameters(units)] -> like h."""
        raise NotImplementedError


class AffineModulation(Modulation):
    """Scales every unit and may shift it, by numbers of its own.

    A network can fold that into the layer before, instead of passing over the activations.
    """

    def affine(self, tau: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """tau [tasks, num_parameters(units)] -> (scale, shift or None), each [tasks, units]."""
        raise NotImplementedError

    def call(self, h: tf.Tensor, tau: tf.Tensor) -> tf.Tensor:
        """h [tasks, ..., units], tau [tasks, num_parameters(units)] -> h scale + shift."""
        scale, shift = self.affine(tau)
        h *= over_positions(scale, h)
        return h if shift is None else h + over_positions(shift, h)


def over_positions(part: tf.Tensor, h: tf.Tensor) -> tf.Tensor:
    """[tasks, units] -> [tasks, 1, ..., 1, units], to broadcast over h [tasks, ..., units]."""
    return part[(slice(None), *[None] * (h.shape.rank - 2))]


@register("film")
class FiLM(AffineModulation):
    """h (1 + gamma) + beta, tau = (gamma, beta); tau = 0 leaves h as it is. [MuMoMAML] 3.2."""

    scales_and_shifts = True

    def num_parameters(self, units: int) -> int:
        """gamma and beta: two numbers per unit."""
        return 2 * units

    def affine(self, tau: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """(1 + gamma, beta)."""
        gamma, beta = tf.split(tau, 2, axis=-1)
        return 1.0 + gamma, beta


@register("sigmoid")
class SigmoidAttention(AffineModulation):
    """h sigmoid(tau): every unit is let through by a share of its own. [MuMoMAML] 3.2."""

    def affine(self, tau: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """sigmoid(tau), and no shift."""
        return tf.sigmoid(tau), None


@register("softmax")
class SoftmaxAttention(AffineModulation):
    """h softmax(tau): the units share one unit of attention. [MuMoMAML] 3.2."""

    def affine(self, tau: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """softmax(tau), and no shift."""
        return tf.nn.softmax(tau), None
