"""Settings of the classification domains."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import ClassVar

from mmaml_tf import networks
from mmaml_tf.few_shot import config as few_shot
from mmaml_tf.few_shot.config import FewShotConfig
from mmaml_tf.learners.options import BN_STATISTICS, TASK_BATCHINGS

# What [MAML]'s experiments on images share; the encoder is of [2019 code].
DEFAULTS = few_shot.DEFAULTS | dict(
    iterations=60_000,
    context_size=3,
    meta_clip_norm=None,
    # Choice: MAML's prior is where it starts. From random heads MuMoMAML learned more slowly on
    # two sets of images.
    head_initializer="zeros",
    encoder="images",
    encoder_filters=(32, 64, 128, 256),
    embedding_units=128,
    task_batching="auto",
    bn_statistics="transductive",
    split_seed=0,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationConfig(FewShotConfig):
    """A few-shot classification run.

    Attributes:
      num_ways: N, classes per task.
      eval_steps: gradient steps in validation and in the exported model, too. An evaluation reports
        every step up to 10, or up to this number if it is larger.
      network: base network, by registered name: "conv" with strides, "max_pool" with pooling, "mlp"
        without convolutions, or another.
      filters: channels (or units) of the base network's blocks.
      encoder: task encoder, by registered name.
      encoder_filters: channels of the task encoder's convolutions.
      embedding_units: width of the task embedding.
      task_batching: "map" computes one task after the other, "batched" all at once, "auto" as is
        faster on the device; the results are the same.
      bn_statistics: what normalises query images in evaluation and export: "transductive", as in
        the papers and always in training, the query set itself; "support", the support set.
      validation_tasks: tasks that each validation measures.
      split_seed: of the random split of the classes.
    """

    num_ways: int
    network: str
    filters: tuple[int, ...]
    encoder: str | None = "images"
    encoder_filters: tuple[int, ...] | None
    embedding_units: int | None
    task_batching: str
    bn_statistics: str
    validation_tasks: int
    split_seed: int

    KIND = "classification"
    GROUPS = FewShotConfig.GROUPS | {
        "modulation": (
            "modulation",
            "head_initializer",
            "encoder",
            "encoder_filters",
            "embedding_units",
        ),
    }
    RESUMABLE = (*FewShotConfig.RESUMABLE, "task_batching")
    EVALUATION = (*FewShotConfig.EVALUATION, "bn_statistics", "task_batching")
    EXPORT: ClassVar[tuple[str, ...]] = ("bn_statistics", "task_batching")
    VALIDATION = ("eval_queries", "eval_steps", "bn_statistics")
    # How many images each class has; None where that is known only once they are read.
    IMAGES_PER_CLASS: ClassVar[int | None] = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the data set's images."""
        raise NotImplementedError

    def __post_init__(self):
        super().__post_init__()
        self.require_at_least("num_ways", 2)
        if self.encoder is not None:
            self.require_widths("encoder_filters", "32,64,128,256")
            self.require_at_least("embedding_units", 1)
        self.require_at_least("validation_tasks", 1)
        self.require_at_least("split_seed", 0)
        needs = [(name, "num_shots") for name in ("num_queries", "eval_queries")]
        needs += [("eval_queries", "eval_shots")] * (self.eval_shots is not None)
        for field, shots in needs if self.IMAGES_PER_CLASS is not None else ():
            self.require(
                field,
                getattr(self, shots) + getattr(self, field) <= self.IMAGES_PER_CLASS,
                f"with --{shots}={getattr(self, shots)} a class needs more than the "
                f"{self.IMAGES_PER_CLASS} images that it has",
            )
        modes = self.mode_names
        self.require(
            "method",
            not self.has("modes") or len(modes) > 1,
            f"one model per mode, and --domain={self.domain} has one mode here",
        )
        self.require_each_mode(modes, "meta_batch_size", "eval_tasks", "validation_tasks")
        self.require_one_of("network", list(networks.of(self.KIND)))
        self.require_one_of("task_batching", TASK_BATCHINGS)
        self.require_one_of("bn_statistics", BN_STATISTICS)
        self.require_widths("filters", "64,64,64,64")

    def largest_arrays(self) -> dict[tuple[str, ...], int]:
        """Images of a batch of tasks, activations, and the largest kernels."""
        images = self.num_ways * (self.num_shots + self.num_queries)
        supports = self.meta_batch_size * self.num_ways * self.num_shots
        filters, encoder = (*self.filters, self.num_ways), self.encoder_filters or (0,)
        base = 4 * self._activations(self.filters)  # pooling would come after them
        return super().largest_arrays() | {
            ("meta_batch_size", "num_ways"): self.meta_batch_size
            * images
            * math.prod(self.image_shape),
            ("filters", "num_ways"): max(
                images * base, 9 * max(a * b for a, b in itertools.pairwise(filters))
            ),
            ("encoder_filters", "meta_batch_size", "num_ways"): max(
                supports * self._activations(encoder),
                9 * max((a * b for a, b in itertools.pairwise(encoder)), default=0),
            ),
            ("embedding_units", "encoder_filters"): encoder[-1] * (self.embedding_units or 0),
        }

    def _activations(self, filters: Sequence[int]) -> int:
        """The most that a block of convolutions says of an image; every one has stride 2."""
        height, width, _ = self.image_shape
        return max(
            channels * math.ceil(height / 2**depth) * math.ceil(width / 2**depth)
            for depth, channels in enumerate(filters, 1)
        )

    @property
    def label(self) -> str:
        """The method and the kind of task: `maml-5way-1shot`, `maml-mlp-20way-5shot`."""
        network = "" if self.network == "conv" else f"-{self.network}"
        return f"{super().label}{network}-{self.setting}"

    @property
    def setting(self) -> str:
        """The kind of task: `5way-1shot`."""
        return f"{self.num_ways}way-{self.num_shots}shot"


def widths(network: str, usual: tuple[int, ...]) -> tuple[int, ...]:
    """A network's widths by default: its own, or those that are usual for the data."""
    known = networks.of(ClassificationConfig.KIND)
    return usual if network not in known else known[network].filters or usual
