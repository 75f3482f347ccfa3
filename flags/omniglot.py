"""Flags of the Omniglot domain."""

from typing import Any

from absl import flags as absl_flags

from flags import common
from flags.omniglot_config import OmniglotConfig, paper_settings, quick_settings
from mmaml_tf.classification.config import NETWORKS
from mmaml_tf.config import ConfigError
from mmaml_tf.learners.options import BN_STATISTICS, TASK_BATCHINGS

_FLAGS = common.settings(
    *common.FEW_SHOT,
    absl_flags.DEFINE_integer("num_ways", None, "N, classes per task."),
    common.ENCODER,
    absl_flags.DEFINE_enum("network", None, NETWORKS, "Base network; mlp has no convolutions."),
    absl_flags.DEFINE_list("filters", None, "Channels of the base network: 64,64,64,64."),
    absl_flags.DEFINE_list("encoder_filters", None, "Channels of the task encoder."),
    absl_flags.DEFINE_integer("embedding_units", None, "Width of the task embedding."),
    absl_flags.DEFINE_enum(
        "task_batching", None, TASK_BATCHINGS, "map is faster on a CPU, batched on a GPU."
    ),
    absl_flags.DEFINE_enum(
        "bn_statistics",
        None,
        BN_STATISTICS,
        "What normalises query images in evaluation and export: the query set, or the support set.",
    ),
    common.define_path(
        "data_dir",
        "Folder of images_background.zip and images_evaluation.zip, or of the folders in them; "
        "they are downloaded into it if they are not there.",
    ),
    absl_flags.DEFINE_integer("split_seed", None, "Of the split of the characters."),
    absl_flags.DEFINE_integer("train_characters", None, "Characters to train on."),
    absl_flags.DEFINE_integer("validation_characters", None, "Characters to pick checkpoints by."),
    absl_flags.DEFINE_integer("validation_tasks", None, "Tasks per validation."),
)


def given() -> dict[str, Any]:
    """The settings made on the command line.

    Raises:
      ConfigError: for one that is not an Omniglot setting, or can't be read.
    """
    settings = common.given(_FLAGS)
    for name in ("filters", "encoder_filters"):
        if name in settings:
            try:
                settings[name] = tuple(int(width) for width in settings[name])
            except ValueError:
                widths = ",".join(settings[name])
                raise ConfigError(name, widths, "must be widths, such as 64,64,64,64") from None
    return settings


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
