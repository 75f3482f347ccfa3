"""Flags that the classification domains share."""

from typing import Any

from absl import flags as absl_flags

from flags import common
from mmaml_tf.classification.config import NETWORKS
from mmaml_tf.config import ConfigError
from mmaml_tf.learners.options import BN_STATISTICS, TASK_BATCHINGS

SHARED = (
    *common.FEW_SHOT,
    absl_flags.DEFINE_integer("num_ways", None, "N, classes per task."),
    common.ENCODER,
    absl_flags.DEFINE_enum("network", None, NETWORKS, "Base network; mlp has no convolutions."),
    absl_flags.DEFINE_list("filters", None, "Channels of the base network: 64,64,64,64."),
    absl_flags.DEFINE_list("encoder_filters", None, "Channels of the task encoder."),
    absl_flags.DEFINE_integer("embedding_units", None, "Width of the task embedding."),
    absl_flags.DEFINE_enum(
        "task_batching",
        None,
        TASK_BATCHINGS,
        "map suits a CPU, batched a GPU; auto knows.",
    ),
    absl_flags.DEFINE_enum(
        "bn_statistics",
        None,
        BN_STATISTICS,
        "What normalises query images in evaluation and export: the query set, or the support set.",
    ),
    absl_flags.DEFINE_integer("split_seed", None, "Of the random split of the classes."),
    absl_flags.DEFINE_integer("validation_tasks", None, "Tasks per validation."),
)


def given(own: tuple[str, ...]) -> dict[str, Any]:
    """The settings made on the command line.

    Args:
      own: the domain's flags.

    Raises:
      ConfigError: for one that is not a setting of the domain, or can't be read.
    """
    settings = common.given(own)
    for name in ("filters", "encoder_filters"):
        if name in settings:
            try:
                settings[name] = tuple(int(width) for width in settings[name])
            except ValueError:
                widths = ",".join(settings[name])
                raise ConfigError(name, widths, "must be widths, such as 64,64,64,64") from None
    return settings
