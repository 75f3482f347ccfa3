"""Flags of the image-sets domain."""

from typing import Any

from absl import flags as absl_flags

from flags import classification, common
from flags.image_sets_config import ImageSetsConfig, paper_settings, quick_settings

_FLAGS = common.settings(
    *classification.SHARED,
    absl_flags.DEFINE(
        common.PathsParser(),
        "image_sets",
        None,
        "Folders or zips of class/image, with commas between; each is a mode. Classes are split as "
        "splits.json beside them says, or at random.",
    ),
    absl_flags.DEFINE_integer("image_size", None, "Height and width that images are brought to."),
    absl_flags.DEFINE_list(
        "rotated_sets", None, "Names of sets whose turned classes are classes, too: omniglot."
    ),
)


def given() -> dict[str, Any]:
    """The settings made on the command line.

    Raises:
      ConfigError: for one that is not a setting of the domain, or can't be read.
    """
    settings = classification.given(_FLAGS)
    lists = {
        name: tuple(settings[name]) for name in ("image_sets", "rotated_sets") if name in settings
    }
    return settings | lists


def config(domain: str, method: str, preset: str) -> ImageSetsConfig:
    """The run that the command line asks for.

    Raises:
      ConfigError: naming the flag, its value and what is allowed.
    """
    chosen = given()
    shaping = {name: chosen[name] for name in ("num_ways", "num_shots") if name in chosen}
    settings = paper_settings(method, chosen.get("image_sets", ()), **shaping)
    if preset == "quick":
        settings |= quick_settings(method)
    return ImageSetsConfig(**(settings | chosen))
