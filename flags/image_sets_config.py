"""Settings of the image-sets domain."""

import dataclasses
from pathlib import Path
from typing import Any

from mmaml_tf.classification.config import DEFAULTS, ClassificationConfig, widths
from mmaml_tf.config import ConfigError

OMNIGLOT = "omniglot"


def names_of(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The sets' names: the last part of each path, without `.zip`."""
    return tuple(Path(path).stem for path in paths)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSetsConfig(ClassificationConfig):
    """A run on image sets.

    Attributes:
      image_sets: folders or zips of class/image (`data.image_files`); each is a mode. Relative ones
        are seen from where the command runs.
      modes: their names.
      image_size: height and width that all images are brought to.
      rotated_sets: names of the sets whose classes also come turned by 90, 180 and 270 degrees,
        each as a class of its own.
    """

    DATA = "image_sets"

    image_sets: tuple[str, ...]
    modes: tuple[str, ...]
    image_size: int
    rotated_sets: tuple[str, ...]

    RESUMABLE = (*ClassificationConfig.RESUMABLE, "image_sets")
    EVALUATION = (*ClassificationConfig.EVALUATION, "image_sets")
    EXPORT = (*ClassificationConfig.EXPORT, "image_sets")

    def __post_init__(self):
        self.require("image_sets", len(self.image_sets) > 0, "name one or more folders or zips")
        self.require("image_sets", len({*self.modes}) == len(self.modes), "two have one name")
        self.require(
            "image_sets",
            names_of(self.image_sets) == self.modes,
            f"this run's sets are called {', '.join(self.modes)}",
        )
        self.require_at_least("image_size", 8)
        for name in self.rotated_sets:
            if name not in self.modes:
                raise ConfigError("rotated_sets", name, f"choose from {', '.join(self.modes)}")
        super().__post_init__()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """See `ClassificationConfig`."""
        return (self.image_size, self.image_size, 3)

    @property
    def mode_names(self) -> tuple[str, ...]:
        """See `FewShotConfig`."""
        return self.modes if len(self.modes) > 1 else ("all",)

    @property
    def setting(self) -> str:
        """The sets, too: `omniglot+miniimagenet-5way-1shot`."""
        return f"{'+'.join(self.modes)}-{super().setting}"


def paper_settings(
    method: str,
    image_sets: tuple[str, ...],
    num_ways: int = 5,
    num_shots: int = 1,
    network: str = "max_pool",
) -> dict[str, Any]:
    """[MAML]'s settings for miniImageNet (A.1 and its code); the encoder's, of [2019 code].

    Losses are means over examples here. [MAML]'s code divides their sums by K alone (its `xent`),
    so that its gradients are N times as large on a support set, and on a query set N Q / K times:
    hence the factors on its rate of 0.01 and its limit of 10. The follow-up, of means, has 0.05.
    """
    modes = names_of(image_sets)
    num_queries = 15
    settings: dict[str, Any] = dict(
        domain="image_sets",
        method=method,
        meta_batch_size=4 * max(1, len(modes)),
        inner_steps=5,
        inner_lr=0.01 * num_ways,
        **DEFAULTS,
        meta_clip_value=10.0 * num_shots / (num_ways * num_queries),
        log_every=100,
        checkpoint_every=100,
        eval_tasks=600 * max(1, len(modes)),
        num_ways=num_ways,
        num_shots=num_shots,
        num_queries=num_queries,
        # As many as the support set has in [MAML]'s code; the follow-up, of several sets, has 15.
        eval_queries=num_shots if len(modes) == 1 else num_queries,
        eval_steps=10,
        network=network,
        filters=widths(network, (32, 32, 32, 32)),
        image_sets=image_sets,
        modes=modes,
        image_size=84,
        rotated_sets=tuple(name for name in modes if name == OMNIGLOT),
        validation_tasks=200 * max(1, len(modes)),
    )
    return ImageSetsConfig.published(settings)


# What `--preset=quick` changes: small images, a few minutes on two cores.
QUICK = dict(image_size=28, eval_steps=5, iterations=500, log_every=100, checkpoint_every=100)
