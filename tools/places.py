"""Where the repository keeps trained runs and what they reached."""

from pathlib import Path

from mmaml_tf.training.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]


def kept(domain: str, name: str = "") -> RunFolder:
    """A run that is packed; without a name the folder of all of its domain's."""
    return RunFolder(ROOT / "pretrained" / domain / name)


def results(domain: str, name: str = "") -> RunFolder:
    """Its evaluation, likewise."""
    return RunFolder(ROOT / "results" / domain / name)


def texts() -> tuple[Path, Path]:
    """The documents with tables: each is in one of them, between `<!-- name -->` and
    `<!-- end -->`."""
    return ROOT / "README.md", ROOT / "results" / "README.md"
