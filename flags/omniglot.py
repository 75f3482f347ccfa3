"""Flags of the Omniglot domain."""

from typing import Any

from absl import flags as absl_flags

from flags import classification, common
from flags.omniglot_config import OmniglotConfig, paper_settings, quick_settings

_FLAGS = common.settings(
    *classification.SHARED,
    common.define_path(
        "data_dir",
        "Folder of images_background.zip and images_evaluation.zip, or of the folders in them; "
        "they are downloaded into it if they are not there.",
    ),
    absl_flags.DEFINE_integer("train_characters", None, "Characters to train on."),
    absl_flags.DEFINE_integer("validation_characters", None, "Characters to pick checkpoints by."),
)


def given() -> dict[str, Any]:
    """The settings made on the command line.

    Raises:
      ConfigError: for one that is not an Omniglot setting, or can't be read.
    """
    return classification.given(_FLAGS)


def config(domain: str, method: str, preset: str) -> OmniglotConfig:
    """The run that the command line asks for.

    Raises:
      ConfigError: naming the flag, its value and what is allowed.
    """
    chosen = given()
    shaping = {
        name: chosen[name] for name in ("num_ways", "num_shots", "network") if name in chosen
    }
    settings = paper_settings(method, **shaping)
    if preset == "quick":
        settings |= quick_settings(method)
    return OmniglotConfig(**(settings | chosen))
