"""Keeps a trained run's weights here, without what only training needs.

    python -m pretrained.pack runs/regression_2mode/maml/seed0 [another ...] [--resumable]

Each becomes pretrained/<domain>/<label>-seed<N>, or `name` if given as `run=name`:
config, metrics, provenance, and a checkpoint of the weights alone, which `--mode=evaluate
--checkpoint=` reads. With --resumable also the newest checkpoint whole, so that a copy of the
folder in the place where the run was is the run, and its command continues it.
"""

import argparse
import shutil
import sys
from pathlib import Path

from flags.common import FLAGS
from mmaml_tf import supervised
from mmaml_tf.checkpoints import Checkpoints
from mmaml_tf.errors import RunError
from mmaml_tf.run_folder import RunFolder, saved_iterations
from run_experiment import held_run, registered_domains

ROOT = Path(__file__).resolve().parents[1]


def pack(source: RunFolder, name: str = "", resumable: bool = False) -> Path:
    """Packs one run, replacing what was packed of it before; returns where.

    Raises:
      RunError: if there is no run, or it is the packed one itself.
    """
    config, registration = held_run(registered_domains(), source)
    learner = registration.build(config).build_learner()
    iteration = supervised.restore(learner, source)
    name = name or f"{config.label}-seed{config.seed}"
    target = RunFolder(ROOT / "pretrained" / config.domain / name)
    if target.path.resolve() == source.path.resolve():
        raise RunError(f"{source.path} is packed already")
    shutil.rmtree(target.path, ignore_errors=True)
    target.checkpoints.mkdir(parents=True)
    if resumable:
        newest = saved_iterations(source.checkpoints)[0]
        for file in source.checkpoints.glob(f"ckpt-{newest}.*"):
            shutil.copy(file, target.checkpoints)
        if source.best_checkpoint.exists():
            shutil.copytree(source.best_checkpoint, target.best_checkpoint)
    else:
        Checkpoints(target.checkpoints, learner, weights_only=True).save(iteration)
    for file in ("config_file", "metrics_file", "provenance_file"):
        if getattr(source, file).exists():
            shutil.copy(getattr(source, file), getattr(target, file))
    return target.path


def main() -> None:
    """Parses the command line, packs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", help="run folders, or folder=name")
    parser.add_argument("--resumable", action="store_true", help="keep what continues training")
    chosen = parser.parse_args()
    FLAGS(["pack"])
    for argument in chosen.runs:
        path, _, name = argument.partition("=")
        try:
            print(pack(RunFolder(path), name, chosen.resumable).relative_to(ROOT))
        except RunError as error:
            sys.exit(f"pack: {error}")


if __name__ == "__main__":
    main()
