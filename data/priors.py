"""Priors of a function family's parameters, as stateless draws."""

from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf


class Prior(Protocol):
    """A distribution that draws from an explicit seed."""

    def sample(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Independent draws; equal seeds give equal draws. `seed` is [2] int32."""


@dataclass(frozen=True)
class Uniform:
    """U[low, high]."""

    low: float
    high: float

    def sample(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """See `Prior`."""
        return tf.random.stateless_uniform(shape, seed, self.low, self.high)


@dataclass(frozen=True)
class RandomSign:
    """+1 or -1, equally likely."""

    def sample(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """See `Prior`."""
        return tf.where(tf.random.stateless_uniform(shape, seed) < 0.5, -1.0, 1.0)
