"""Flags of the regression domains."""

from typing import Any

from absl import flags as absl_flags

from flags import common
from mmaml_tf.config import ConfigError
from mmaml_tf.regression.config import (
    QUICK_SETTINGS,
    WEIGHT_FORMS,
    RegressionConfig,
    paper_settings,
)

_FLAGS = common.settings(
    *common.FEW_SHOT,
    absl_flags.DEFINE_float("noise_stddev", None, "Of the Gaussian noise on every y."),
    absl_flags.DEFINE_list("hidden_units", None, "Widths of the hidden layers: 100,100,100."),
    absl_flags.DEFINE_integer(
        "bias_transformation_size", None, "Learned vector appended to the input; 0 for none."
    ),
    absl_flags.DEFINE_integer("encoder_units", None, "LSTM cells per direction."),
    absl_flags.DEFINE_enum(
        "fast_weights", None, WEIGHT_FORMS, "auto: factored where that is cheaper."
    ),
)


def given() -> dict[str, Any]:
    """The settings made on the command line.

    Raises:
      ConfigError: for one that is not a regression setting, or can't be read.
    """
    settings = common.given(_FLAGS)
    if "hidden_units" in settings:
        widths = settings["hidden_units"]
        try:
            settings["hidden_units"] = tuple(int(width) for width in widths)
        except ValueError:
            raise ConfigError(
                "hidden_units", ",".join(widths), "must be widths, such as 100,100,100"
            ) from None
    return settings


def config(modes: tuple[str, ...], domain: str, method: str, preset: str) -> RegressionConfig:
    """The run that the command line asks for.

    Raises:
      ConfigError: naming the flag, its value and what is allowed.
    """
    settings = paper_settings(domain, method, modes)
    if preset == "quick":
        settings |= QUICK_SETTINGS
    return RegressionConfig(**(settings | given()))
