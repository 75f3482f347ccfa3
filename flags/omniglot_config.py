"""Settings of the Omniglot domain, with the papers' as defaults."""

import dataclasses
import os
from typing import Any, Self

from mmaml_tf.classification.config import DEFAULTS, ClassificationConfig, widths

DEFAULT_DATA_DIR = "~/.cache/mmaml_tf/omniglot"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OmniglotConfig(ClassificationConfig):
    """An Omniglot run.

    Attributes:
      data_dir: holds Omniglot's archives; they are downloaded into it if it does not. A relative
        one is seen from where the command runs.
      train_characters: how many to train on.
      validation_characters: how many to pick the checkpoint with; the rest is for evaluation.
    """

    DATA = "omniglot"

    data_dir: str
    train_characters: int
    validation_characters: int

    IMAGES_PER_CLASS = 20  # so many people drew every character
    RESUMABLE = (*ClassificationConfig.RESUMABLE, "data_dir")
    EVALUATION = (*ClassificationConfig.EVALUATION, "data_dir")
    EXPORT = (*ClassificationConfig.EXPORT, "data_dir")

    def __post_init__(self):
        super().__post_init__()
        for field in ("train_characters", "validation_characters"):
            self.require_at_least(field, 1)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """See `ClassificationConfig`."""
        return (28, 28, 1)

    def elsewhere(self) -> Self:
        """A data_dir that is not on this machine gives way to the default."""
        if os.path.isdir(os.path.expanduser(self.data_dir)):
            return self
        return dataclasses.replace(self, data_dir=DEFAULT_DATA_DIR)


def paper_settings(
    method: str, num_ways: int = 5, num_shots: int = 1, network: str = "conv"
) -> dict[str, Any]:
    """The settings of [MAML] A.1 and its code; the encoder's, of [2019 code].

    The papers have them for 5 and for 20 ways. Query sets are as large as support sets, which
    matters because batch norm makes the images of a set depend on one another.

    Losses are means over a set here, and [MAML]'s code divides their sum by K alone, so that its
    rates are N times as large on a mean. They are kept as printed: `conv_net`, whose last layer
    starts smaller than theirs, learns faster with these.
    """
    settings: dict[str, Any] = dict(
        domain="omniglot",
        method=method,
        meta_batch_size=32,
        inner_steps=1,
        inner_lr=0.4,
        **DEFAULTS,
        log_every=500,
        checkpoint_every=500,
        eval_tasks=1_000,
        num_ways=num_ways,
        num_shots=num_shots,
        num_queries=num_shots,
        eval_queries=num_shots,
        eval_steps=3,
        network=network,
        filters=widths(network, (64, 64, 64, 64)),
        data_dir=DEFAULT_DATA_DIR,
        train_characters=1_100,
        validation_characters=100,
        validation_tasks=400,
    )
    if num_ways >= 20:
        settings |= dict(meta_batch_size=16, inner_steps=5, inner_lr=0.1, eval_steps=5)
    return OmniglotConfig.published(settings)


# What `--preset=quick` changes: a few minutes on two cores.
QUICK = dict(iterations=2_000, log_every=200, checkpoint_every=200)
