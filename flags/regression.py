"""Flags of the regression domains."""

from absl import flags as absl_flags

from flags import common
from mmaml_tf.regression.config import (
    WEIGHT_FORMS,
    RegressionConfig,
    paper_settings,
    quick_settings,
)

common.settings(
    absl_flags.DEFINE_float("noise_stddev", None, "Of the Gaussian noise on every y."),
    absl_flags.DEFINE_integer(
        "bias_transformation_size", None, "Learned vector appended to the input; 0 for none."
    ),
    absl_flags.DEFINE_enum(
        "fast_weights", None, WEIGHT_FORMS, "auto: factored where that is cheaper."
    ),
)


def config(modes: tuple[str, ...], domain: str, method: str, preset: str) -> RegressionConfig:
    """The run that the command line asks for.

    Raises:
      ConfigError: naming the flag, its value and what is allowed.
    """
    settings = paper_settings(domain, method, modes)
    if preset == "quick":
        settings |= quick_settings(method)
    return RegressionConfig(**(settings | common.given(RegressionConfig)))
