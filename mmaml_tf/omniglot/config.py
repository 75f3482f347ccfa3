"""Settings of the Omniglot domain, with the papers' as defaults."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any, Self

from mmaml_tf.config import FewShotConfig, RunConfig

NETWORKS = ("conv", "mlp")
TASK_BATCHINGS = ("map", "batched")
BN_STATISTICS = ("transductive", "support")
# Every character was drawn by so many people.
DRAWINGS = 20
DEFAULT_DATA_DIR = "~/.cache/mmaml_tf/omniglot"


@dataclasses.dataclass(frozen=True)
class OmniglotConfig(FewShotConfig):
    """An Omniglot run.

    Attributes:
      num_ways: N, classes per task.
      eval_steps: gradient steps in validation and in the exported model. An evaluation reports
        every step up to 10, or up to this number if it is larger.
      network: "conv", or "mlp" without convolutions.
      filters: channels (or units) of the base network's blocks.
      encoder_filters: channels of the task encoder's convolutions.
      embedding_units: width of the task embedding.
      task_batching: "map" computes one task after the other, "batched" all at once; the results
        are the same.
      bn_statistics: what normalises query images in evaluation and export: "transductive", as in
        the papers and always in training, the query set itself; "support", the support set.
      data_dir: holds Omniglot's archives; they are downloaded into it if it does not. A relative
        one is seen from where the command runs.
      split_seed: of the random split of the characters.
      train_characters: how many to train on.
      validation_characters: how many to pick the checkpoint with; the rest is for evaluation.
      validation_tasks: tasks that each validation measures.
    """

    num_ways: int
    eval_steps: int
    network: str
    filters: tuple[int, ...]
    encoder_filters: tuple[int, ...] | None
    embedding_units: int | None
    task_batching: str
    bn_statistics: str
    data_dir: str
    split_seed: int
    train_characters: int
    validation_characters: int
    validation_tasks: int

    KIND = "classification"
    GROUPS = {"modulation": ("modulation", "encoder_filters", "embedding_units")}
    RESUMABLE = (*RunConfig.RESUMABLE, "task_batching", "data_dir")
    EVALUATION = (
        *FewShotConfig.EVALUATION,
        "bn_statistics",
        "task_batching",
        "data_dir",
    )
    EXPORT = ("bn_statistics", "task_batching", "data_dir")
    VALIDATION = ("eval_queries", "bn_statistics")

    def __post_init__(self):
        super().__post_init__()
        self.require_at_least("num_ways", 2)
        if self.encoder_filters is not None:
            self.require_widths("encoder_filters", "32,64,128,256")
            self.require_at_least("embedding_units", 1)
        for field in (
            "train_characters",
            "validation_characters",
            "validation_tasks",
        ):
            self.require_at_least(field, 1)
        self.require_at_least("split_seed", 0)
        self.require_steps("eval_steps", 0)
        for field in ("num_queries", "eval_queries"):
            self.require(
                field,
                self.num_shots + getattr(self, field) <= DRAWINGS,
                f"with --num_shots={self.num_shots} a class needs more than the {DRAWINGS} "
                "drawings that Omniglot has of a character",
            )
        self.require_one_of("network", NETWORKS)
        self.require_one_of("task_batching", TASK_BATCHINGS)
        self.require_one_of("bn_statistics", BN_STATISTICS)
        self.require_widths("filters", "64,64,64,64")
        self.require(
            "inner_clip_value",
            self.inner_clip_value is None,
            "not a setting of --domain=omniglot; use --inner_clip_norm",
        )

    def largest_arrays(self) -> dict[tuple[str, ...], int]:
        """Images of a batch of tasks, and the largest kernel."""
        images = self.num_ways * (self.num_shots + self.num_queries)
        widths, encoder = (*self.filters, self.num_ways), self.encoder_filters or (0,)
        return {
            ("meta_batch_size", "num_ways"): self.meta_batch_size * images * 28 * 28,
            ("filters",): 9 * max(a * b for a, b in itertools.pairwise(widths)),
            ("encoder_filters",): 9
            * max(a * b for a, b in itertools.pairwise((*encoder, self.embedding_units or 0))),
        }

    def elsewhere(self) -> Self:
        """A data_dir that is not on this machine gives way to the default."""
        if Path(self.data_dir).expanduser().is_dir():
            return self
        return dataclasses.replace(self, data_dir=DEFAULT_DATA_DIR)

    @property
    def label(self) -> str:
        """The method and the kind of task: `maml-5way-1shot`, `maml-mlp-20way-5shot`."""
        network = "" if self.network == "conv" else f"-{self.network}"
        return f"{super().label}{network}-{self.num_ways}way-{self.num_shots}shot"


def paper_settings(
    method: str, num_ways: int = 5, num_shots: int = 1, network: str = "conv"
) -> dict[str, Any]:
    """The settings of [MAML] A.1 and its code; the encoder's, of [2019 code].

    The papers have them for 5 and for 20 ways. Query sets are as large as support sets, which
    matters because batch norm makes the images of a set depend on one another.
    """
    settings: dict[str, Any] = dict(
        domain="omniglot",
        method=method,
        modulation="film",
        seed=0,
        iterations=60_000,
        meta_batch_size=32,
        inner_steps=1,
        inner_lr=0.4,
        meta_lr=0.001,
        lr_schedule="constant",
        first_order=False,
        inner_clip_norm=None,
        inner_clip_value=None,
        meta_clip_norm=None,
        jit_compile=False,
        log_every=500,
        checkpoint_every=500,
        eval_tasks=1_000,
        eval_seed=1,
        num_ways=num_ways,
        num_shots=num_shots,
        num_queries=num_shots,
        eval_queries=num_shots,
        eval_steps=3,
        network=network,
        filters=(64, 64, 64, 64) if network == "conv" else (256, 128, 64, 64),
        encoder_filters=(32, 64, 128, 256),
        embedding_units=128,
        task_batching="map",
        bn_statistics="transductive",
        data_dir=DEFAULT_DATA_DIR,
        split_seed=0,
        train_characters=1_100,
        validation_characters=100,
        validation_tasks=400,
    )
    if num_ways >= 20:
        settings |= dict(meta_batch_size=16, inner_steps=5, inner_lr=0.1, eval_steps=5)
    return OmniglotConfig.for_method(settings)


# What `--preset=quick` changes: a few minutes on two cores.
QUICK_SETTINGS = dict(iterations=2_000, log_every=200, checkpoint_every=200)
