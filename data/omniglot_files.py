"""Omniglot's files: found in a folder, or downloaded into it.

Omniglot (Lake, Salakhutdinov, Tenenbaum 2015; MIT licence) comes as two archives of PNGs named
`images_background/<alphabet>/<character>/<drawing>.png`, and `images_evaluation/...`.
"""

from pathlib import Path

import keras

from data.image_files import LabelledFiles
from mmaml_tf.errors import RunError, reason

ORIGIN = "https://github.com/brendenlake/omniglot/raw/master/python"
# The two archives, by name, and the published ones' md5. Only downloads are held to it: an archive
# that is already there may have been packed by someone else.
ARCHIVES = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
REPLACE = "put a good copy there, or delete it to have it downloaded"


def find_or_download(data_dir: Path) -> list[LabelledFiles]:
    """Omniglot's archives, downloaded into `data_dir` where they are missing.

    Raises:
      RunError: if one is neither there nor can be downloaded, or can't be read.
    """
    found = []
    for name, md5 in ARCHIVES.items():
        path = data_dir / f"{name}.zip"
        if not path.exists() and (data_dir / name).is_dir():
            path = data_dir / name
        elif not path.exists():
            _download(path, md5)
        try:
            found.append(LabelledFiles(path))
        except RunError as error:
            raise RunError(f"{error}: {REPLACE}") from error
    return found


def _download(path: Path, md5: str) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.get_file(
            fname=partial.name,
            origin=f"{ORIGIN}/{path.name}",
            file_hash=md5,
            hash_algorithm="md5",
            cache_dir=str(path.parent),
            cache_subdir="",
        )
    except Exception as error:  # what get_file raises, offline or at a wrong checksum
        partial.unlink(missing_ok=True)
        archives = " and ".join(f"{name}.zip" for name in ARCHIVES)
        raise RunError(
            f"{path} is not there and can't be downloaded ({reason(error)}): put Omniglot's "
            f"{archives} from github.com/brendenlake/omniglot (folder python) into {path.parent}, "
            "or name their folder with --data_dir"
        ) from error
    partial.rename(path)
