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

import keras

from mmaml_tf.config import ConfigError, RunConfig
from mmaml_tf.errors import RunError
from mmaml_tf.reporting import actions
from mmaml_tf.training import fit, provenance
from mmaml_tf.training.checkpoints import Checkpoints
from mmaml_tf.training.run_folder import (
    CHECKPOINT_FILE,
    LOCK,
    SCORE,
    RunFolder,
    checkpoint_files,
)
from mmaml_tf.training.storage import replacing
from registry import held_run
from tools import model_card, places, rows


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
      force: replace what was packed or recorded of another run, or weights by a record.
      record: keep the run's evaluation instead of its weights.

    Raises:
      RunError: if there is no run, or its files can't be read, or it is the packed one itself, or
        the name is no plain one or another run's; if it is to be recorded and was not evaluated;
        if files of the user's are where it goes.
    """
    config, registration = held_run(source)
    provenance.held(source.provenance_file)
    if record and not (source.evaluation_file.exists() and source.evaluation_origin_file.exists()):
        raise RunError(f"{source.path} was not evaluated: --mode=evaluate does that")
    name = name or f"{config.label}-seed{config.seed}"
    if not re.fullmatch(r"\w[\w.+-]*", name) or name == RunFolder("").saved_model.name:
        raise RunError(f"{name} is no name for a packed run: letters, digits, '_', '-', '+', '.'")
    target = places.kept(config.domain, name)
    if target.path.resolve() == source.path.resolve():
        raise RunError(f"{source.path} is packed already")
    reached = source.metrics.last_iteration()
    if target.path.exists():
        _require_replaceable(target, config, reached, record, force)
    results = places.results(config.domain, name)
    if record and not force and results.evaluation_file.exists():
        _require_same(results, config)
    learner = registration.build(config).build_learner()
    iteration = fit.restore(learner, source)
    size = sum(file.stat().st_size for file in source.checkpoints.rglob("*"))
    target.path.parent.mkdir(parents=True, exist_ok=True)
    if record:  # before anything gives way to it
        source.evaluated_config(config)
        results.path.mkdir(parents=True, exist_ok=True)
        _copy(results.path, source.evaluation_file, source.evaluation_origin_file)
    with replacing(target.path, size) as partial:
        folder = RunFolder(partial)
        folder.path.mkdir(exist_ok=True)
        if resumable:
            _copy_checkpoints(source, folder, learner)
        elif not record:
            Checkpoints(folder.checkpoints, learner, weights_only=True).save(iteration)
        _copy(folder.path, source.config_file, source.metrics.path, source.provenance_file)
    return target.path


def _require_replaceable(
    target: RunFolder, config: RunConfig, reached: int, record: bool, force: bool
) -> None:
    """Raises RunError unless what is packed in `target` may give way to `config`'s run."""
    if not target.is_run():
        raise RunError(f"{target.path} is no packed run: give folder=name, or move it away")
    if others := _others(target):
        raise RunError(f"{target.path} holds {', '.join(others)}, too: move that away")
    if force:
        return
    if reached < (before := target.metrics.last_iteration()):
        raise RunError(f"{target.path} is of {before} iterations, this of {reached}: --force it")
    problems = target.config(type(config)).differences(config, trained=target.kept_iteration())
    if problems:
        raise RunError(
            f"{target.path} is packed from another run ({'; '.join(problems)}): give "
            "folder=name, or --force to replace it"
        )
    if record and target.kept_iteration() is not None:
        raise RunError(f"{target.path} has weights, which a record has not: --force to drop them")


def _others(target: RunFolder) -> list[str]:
    """What is in a packed run's folder besides what packing puts there."""
    parts = (target.config_file, target.metrics.path, target.provenance_file)
    own = {target.path / LOCK, *parts, target.best_checkpoint / SCORE}
    return [
        path.relative_to(target.path).as_posix()
        for path in sorted(target.path.rglob("*"))
        if not path.is_dir() and path not in own and not CHECKPOINT_FILE.fullmatch(path.name)
    ]


def _require_same(recorded: RunFolder, config: RunConfig) -> None:
    """Raises RunError unless an evaluation is one of `config`'s run."""
    if recorded.evaluated_iteration() is None:
        raise RunError(f"{recorded.evaluation_file} is of no known run: --force to replace it")
    try:
        recorded.evaluated_config(config)
    except RunError as error:
        raise RunError(f"{error}; give folder=name, or --force to replace it") from error


def serve(packed: RunFolder) -> Path:
    """Makes a packed run the one whose SavedModel its domain has; returns its model card.

    Raises:
      RunError: if its weights, or its evaluation, are not there, or the domain is to have another
        run's.
    """
    config, registration = held_run(packed)
    name = rows.SERVED.get(config.domain, "no run")
    if name != packed.path.name:
        raise RunError(f"{config.domain} is to serve {name} (SERVED in tools/rows.py)")
    evaluated = places.results(config.domain, packed.path.name)
    if not evaluated.evaluation_file.exists():
        raise RunError(f"{evaluated.path} has no evaluation: tools.regenerate makes it")
    target = RunFolder(packed.path.parent)
    actions.export(registration.build(config), packed, target)
    return model_card.write(packed, evaluated, target.saved_model)


def _copy_checkpoints(source: RunFolder, target: RunFolder, learner: keras.Model) -> None:
    """Copies the best one and the one that training goes on from.

    Raises:
      RunError: if there is none of the latter.
    """
    newest = Checkpoints(source.checkpoints, learner).restore(sets_aside=False)
    if newest is None:
        raise RunError(f"{source.path} has no checkpoint that training can go on from")
    target.checkpoints.mkdir()
    for file in checkpoint_files(source.checkpoints, newest):
        shutil.copy(file, target.checkpoints)
    if source.best_checkpoint.exists():
        shutil.copytree(source.best_checkpoint, target.best_checkpoint)


def _copy(folder: Path, *files: Path) -> None:
    """Copies those that exist."""
    for file in files:
        if file.exists():
            shutil.copy(file, folder)


def named(argument: str) -> tuple[str, str]:
    """What an argument says: `folder=name`, or a folder, perhaps with = in its name."""
    if "=" not in argument or Path(argument).exists():
        return argument, ""
    path, _, name = argument.rpartition("=")
    return path, name


def main() -> None:
    """Parses the command line, packs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", help="run folders, or folder=name")
    parser.add_argument("--resumable", action="store_true", help="keep what continues training")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--record", action="store_true", help="keep evaluations, no weights")
    kind.add_argument("--served", action="store_true", help="its SavedModel is the domain's")
    parser.add_argument("--force", action="store_true", help="replace what another run packed")
    chosen = parser.parse_args()
    if chosen.record and chosen.resumable:
        parser.error("--resumable keeps weights, which --record leaves out")
    for argument in chosen.runs:
        path, name = named(argument)
        try:
            packed = pack(RunFolder(path), name, chosen.resumable, chosen.force, chosen.record)
            print(packed.relative_to(places.ROOT))
            if chosen.served:
                print(serve(RunFolder(packed)).relative_to(places.ROOT))
        except (RunError, ConfigError, OSError) as error:
            sys.exit(f"pack: {error}")


if __name__ == "__main__":
    main()
