"""Flags of the image-sets domain."""

from absl import flags as absl_flags

from flags import common
from flags.classification import SHAPING
from flags.image_sets_config import QUICK, ImageSetsConfig, paper_settings

common.settings(
    common.define_paths(
        "image_sets",
        "Folders or zips of class/image, with commas between; each is a mode. Classes are split as "
        "splits.json beside them says, or at random.",
    ),
    absl_flags.DEFINE_integer("image_size", None, "Height and width that images are brought to."),
    absl_flags.DEFINE(
        common.ListParser(str, "name,name,...", may_be_empty=True),
        "rotated_sets",
        None,
        "Names of sets whose turned classes are classes, too: omniglot.",
    ),
)


def config(domain: str, method: str, preset: str) -> ImageSetsConfig:
    """The run that the command line asks for.

    Raises:
      ConfigError: naming the flag, its value and what is allowed.
    """
    chosen = common.given(ImageSetsConfig, method)
    shaping = {name: chosen[name] for name in SHAPING if name in chosen}
    settings = paper_settings(method, chosen.get("image_sets", ()), **shaping)
    if preset == "quick":
        settings = ImageSetsConfig.changed(settings, QUICK)
    return ImageSetsConfig.of_settings(settings | chosen)
