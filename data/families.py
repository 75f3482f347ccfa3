"""The function families of the regression tasks ([MuMoMAML] 4.1; tanh and abs: 2019 code).

A family is one function and its priors. A mixture (`data.regression.Mixture`) is a list of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tensorflow as tf

from data.priors import Prior, RandomSign, Uniform


@dataclass(frozen=True)
class Family:
    """Functions y = f(x; parameters), one mode of a task distribution.

    Attributes:
      name: what tables and legends call the mode.
      function: f(x, **parameters), elementwise; x is [tasks, N, 1], each parameter [tasks, 1, 1].
      priors: the distribution of each parameter, by name.
    """

    name: str
    function: Callable[..., tf.Tensor]
    priors: Mapping[str, Prior]


def _sinusoid(x: tf.Tensor, amplitude: tf.Tensor, phase: tf.Tensor) -> tf.Tensor:
    return amplitude * tf.sin(x - phase)


def _linear(x: tf.Tensor, slope: tf.Tensor, intercept: tf.Tensor) -> tf.Tensor:
    return slope * x + intercept


def _quadratic(
    x: tf.Tensor, sign: tf.Tensor, curvature: tf.Tensor, centre: tf.Tensor, offset: tf.Tensor
) -> tf.Tensor:
    return sign * curvature * (x - centre) ** 2 + offset


def _tanh(x: tf.Tensor, scale: tf.Tensor, centre: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    return scale * tf.tanh(x - centre) + offset


def _abs(x: tf.Tensor, scale: tf.Tensor, centre: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    return scale * tf.abs(x - centre) + offset


_PLUS_MINUS_3 = Uniform(-3.0, 3.0)

SINUSOID = Family(
    "sinusoid", _sinusoid, {"amplitude": Uniform(0.1, 5.0), "phase": Uniform(0.0, 3.14159265)}
)
LINEAR = Family("linear", _linear, {"slope": _PLUS_MINUS_3, "intercept": _PLUS_MINUS_3})
QUADRATIC = Family(
    "quadratic",
    _quadratic,
    {
        "sign": RandomSign(),
        "curvature": Uniform(0.02, 0.15),
        "centre": _PLUS_MINUS_3,
        "offset": _PLUS_MINUS_3,
    },
)
TANH = Family(
    "tanh", _tanh, {"scale": _PLUS_MINUS_3, "centre": _PLUS_MINUS_3, "offset": _PLUS_MINUS_3}
)
ABS = Family(
    "abs", _abs, {"scale": _PLUS_MINUS_3, "centre": _PLUS_MINUS_3, "offset": _PLUS_MINUS_3}
)
