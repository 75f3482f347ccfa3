"""Flags that the classification domains share."""

from absl import flags as absl_flags

from flags import common
from mmaml_tf.learners.options import BN_STATISTICS, TASK_BATCHINGS

common.settings(
    absl_flags.DEFINE_integer("num_ways", None, "N, classes per task."),
    absl_flags.DEFINE_string("network", None, "Base network (see below)."),
    common.define_widths(
        "filters", "Channels (or units) of the base network's blocks, such as 64,64,64,64."
    ),
    common.define_widths("encoder_filters", "Channels of the task encoder."),
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

# Settings that others depend on by default.
SHAPING = ("num_ways", "num_shots", "network")
