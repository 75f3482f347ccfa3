"""Keeps a trained run's weights in pretrained/, without what only training needs.

    python -m tools.pack runs/regression_2mode/maml/seed0 [another ...]

Each becomes pretrained/<domain>/<label>-seed<N>, or `name` if given as `run=name`:
config, metrics, provenance, and a checkpoint of the weights alone, which `--mode=evaluate
--checkpoint=` reads. With --resumable also the newest checkpoint whole, so that a copy of the
folder in the place where the run was is the run, and its command continues it. With --record no
weights at all: the run's evaluation goes to results/<domain>/ and stays as it is. With --served its
SavedModel, too, becomes pretrained/<domain>/saved_model, with a model card (tools.model_card).
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.reporting import actions
from mmaml_tf.training import fit, provenance
from mmaml_tf.training.checkpoints import Checkpoints, has_weights_alone
from mmaml_tf.training.run_folder import RunFolder, saved_iterations
from mmaml_tf.training.storage import replacing
from registry import held_run
from tools import model_card

ROOT = Path(__file__).resolve().parents[1]


def pack(
    source: RunFolder,
    name: str = "",
    resumable: bool = False,
    force: bool = False,
    record: bool = False,
) -> Path:
    """Packs one run, replacing what was packed of it before; returns where.

    Args:
      source: the run.
      name: of the packed folder, within its domain's; by default <label>-seed<N>.
      resumable: keep what continues training.
      force: replace what was packed of another run.
      record: keep the run's evaluation instead of its weights.

    Raises:
      RunError: if there is no run, or its files can't be read, or it is the packed one itself, or
        the name is no plain one or another run's; if it is to be recorded and was not evaluated.
    """
    config, registration = held_run(source)
    source.metrics.table()  # an evaluation of what is packed reads both
    provenance.held(source.provenance_file)
    if record and source.evaluated_iteration() is None:
        raise RunError(f"{source.path} was not evaluated: --mode=evaluate does that")
    name = name or f"{config.label}-seed{config.seed}"
    if not re.fullmatch(r"\w[\w.+-]*", name) or name == RunFolder("").saved_model.name:
        raise RunError(f"{name} is no name for a packed run: letters, digits, '_', '-', '+', '.'")
    target = RunFolder(ROOT / "pretrained" / config.domain / name)
    if target.path.resolve() == source.path.resolve():
        raise RunError(f"{source.path} is packed already")
    if target.path.exists() and not target.is_run():
        raise RunError(f"{target.path} is no packed run: give folder=name, or move it away")
    if target.path.exists() and not force:
        problems = target.config(type(config)).differences(config, trained=target.kept_iteration())
        if problems:
            raise RunError(
                f"{target.path} is packed from another run ({'; '.join(problems)}): give "
                "folder=name, or --force to replace it"
            )
    learner = registration.build(config).build_learner()
    iteration = fit.restore(learner, source)
    if resumable:
        newest = saved_iterations(source.checkpoints)
        if not newest or has_weights_alone(source.checkpoints / f"ckpt-{newest[0]}"):
            raise RunError(f"{source.path} has no checkpoint that training can go on from")
    size = sum(file.stat().st_size for file in source.checkpoints.rglob("*"))
    target.path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target.path, size) as partial:
        folder = RunFolder(partial)
        folder.path.mkdir(exist_ok=True)
        if resumable:
            _copy_checkpoints(source, folder)
        elif not record:
            Checkpoints(folder.checkpoints, learner, weights_only=True).save(iteration)
        _copy(folder.path, source.config_file, source.metrics.path, source.provenance_file)
    if record:
        results = ROOT / "results" / config.domain / name
        results.mkdir(parents=True, exist_ok=True)
        _copy(results, source.evaluation_file, source.evaluation_origin_file)
    return target.path


def serve(packed: RunFolder) -> Path:
    """Makes a packed run the one whose SavedModel its domain has; returns its model card.

    Raises:
      RunError: if its weights, or its evaluation, are not there.
    """
    config, registration = held_run(packed)
    evaluated = RunFolder(ROOT / "results" / config.domain / packed.path.name)
    if not evaluated.evaluation_file.exists():
        raise RunError(f"{evaluated.path} has no evaluation: tools.regenerate makes it")
    target = RunFolder(packed.path.parent)
    actions.export(registration.build(config), packed, target)
    return model_card.write(packed, evaluated, target.saved_model)


def _copy_checkpoints(source: RunFolder, target: RunFolder) -> None:
    target.checkpoints.mkdir()
    newest = saved_iterations(source.checkpoints)[0]
    for file in source.checkpoints.glob(f"ckpt-{newest}.*"):
        shutil.copy(file, target.checkpoints)
    if source.best_checkpoint.exists():
        shutil.copytree(source.best_checkpoint, target.best_checkpoint)


def _copy(folder: Path, *files: Path) -> None:
    """Copies those that exist."""
    for file in files:
        if file.exists():
            shutil.copy(file, folder)


def _packed(path: str, name: str, chosen: argparse.Namespace) -> Path:
    return pack(RunFolder(path), name, chosen.resumable, chosen.force, chosen.record)


def main() -> None:
    """Parses the command line, packs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", help="run folders, or folder=name")
    parser.add_argument("--resumable", action="store_true", help="keep what continues training")
    parser.add_argument("--record", action="store_true", help="keep evaluations, no weights")
    parser.add_argument("--served", action="store_true", help="its SavedModel is the domain's")
    parser.add_argument("--force", action="store_true", help="replace what another run packed")
    chosen = parser.parse_args()
    for argument in chosen.runs:
        path, _, name = argument.partition("=")
        try:
            packed = _packed(path, name, chosen)
            print(packed.relative_to(ROOT))
            if chosen.served:
                print(serve(RunFolder(packed)).relative_to(ROOT))
        except (RunError, ConfigError, OSError) as error:
            sys.exit(f"pack: {error}")


if __name__ == "__main__":
    main()
