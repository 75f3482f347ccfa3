"""Flags of the Omniglot domain."""

from absl import flags as absl_flags

from flags import common
from flags.classification import SHAPING
from flags.omniglot_config import QUICK, OmniglotConfig, paper_settings

common.settings(
    common.define_path(
        "data_dir",
        "Folder of images_background.zip and images_evaluation.zip, or of the folders in them; "
        "they are downloaded into it if they are not there. Default: ~/.cache/mmaml_tf/omniglot.",
    ),
    absl_flags.DEFINE_integer("train_characters", None, "Characters to train on."),
    absl_flags.DEFINE_integer("validation_characters", None, "Characters to pick checkpoints by."),
)


def config(domain: str, method: str, preset: str) -> OmniglotConfig:
    """The run that the command line asks for.

    Raises:
      ConfigError: naming the flag, its value and what is allowed.
    """
    chosen = common.given(OmniglotConfig, method)
    shaping = {name: chosen[name] for name in SHAPING if name in chosen}
    settings = paper_settings(method, **shaping)
    if preset == "quick":
        settings = OmniglotConfig.changed(settings, QUICK)
    return OmniglotConfig.of_settings(settings | chosen)
