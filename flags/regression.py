"""Flags of the regression domains."""

from collections.abc import Mapping
from typing import Any

from absl import flags as absl_flags

from flags import common
from mmaml_tf.learners.options import FAST_WEIGHTS
from mmaml_tf.regression.config import QUICK, RegressionConfig, paper_settings

common.settings(
    absl_flags.DEFINE_float("noise_stddev", None, "Of the Gaussian noise on every y."),
    absl_flags.DEFINE_integer(
        "bias_transformation_size", None, "Learned vector appended to the input; 0 for none."
    ),
    absl_flags.DEFINE_enum(
        "fast_weights", None, FAST_WEIGHTS, "auto: factored where that is cheaper."
    ),
)


def config(
    modes: tuple[str, ...], own: Mapping[str, Any], domain: str, method: str, preset: str
) -> RegressionConfig:
    """The run that the command line asks for; `own` are the domain's settings.

    Raises:
      ConfigError: naming the flag, its value and what is allowed.
    """
    settings = paper_settings(domain, method, modes, own)
    if preset == "quick":
        settings = RegressionConfig.changed(settings, QUICK)
    return RegressionConfig.of_settings(settings | common.given(RegressionConfig, method))
