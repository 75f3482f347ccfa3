"""Takes the training of an exported step back into the run that it came from."""

import argparse
import sys
import zipfile
from pathlib import Path
from typing import Annotated, Any, NotRequired

import keras
import numpy as np
from pydantic import Field, FiniteFloat
from typing_extensions import TypedDict

from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.training import provenance
from mmaml_tf.training.best_checkpoint import BestCheckpoint
from mmaml_tf.training.checkpoints import Checkpoints
from mmaml_tf.training.run_files import Count, RunFileError, Seconds, read_json, validated
from mmaml_tf.training.run_folder import RunFolder
from portable.export import state_variables
from portable.step_folder import StepFolder
from registry import held_run


class _Description(TypedDict):
    """What is read of description.json."""

    config: dict[str, Any]
    iteration: Count
    score: str | None


class _Row(TypedDict):
    """A row of progress.json; the scores are of runs with a validation."""

    iteration: Count
    loss: FiniteFloat
    support_loss: float
    score: NotRequired[FiniteFloat]
    recent: NotRequired[FiniteFloat]
    iterations_per_second: Seconds


class _Progress(TypedDict):
    """progress.json."""

    rows: Annotated[list[_Row], Field(min_length=1)]
    starts: list[dict[str, Any]]


class _Starts(TypedDict):
    """What is taken of `_Progress.starts`: those that got somewhere."""

    starts: list[provenance.Start]


def take_back(run: RunFolder, source: StepFolder) -> int:
    """Adds metrics, checkpoints and provenance to the run; returns the iteration that it is at.

    Raises:
      RunError: if nothing was trained, or what was can't be read, or the run is not as it was at
        the export, or is in use. Nothing of it has changed then.
    """
    if not source.description.exists():
        raise RunError(f"{source.path} holds no exported step: python -m portable.export")
    described = read_json(source.description, _Description)
    if not source.progress.exists():
        raise RunError(f"{source.path} was not trained: python -m portable.train {source.path}")
    progress = read_json(source.progress, _Progress)
    numbers = [described["iteration"], *(row["iteration"] for row in progress["rows"])]
    if numbers != sorted(set(numbers)):
        raise RunFileError(f"{source.progress}: rows' iterations do not ascend")
    trained = [entry for entry in progress["starts"] if "seconds" in entry]
    validated(source.progress, dict(starts=trained), _Starts)
    config, registration = held_run(run)
    learner = registration.build(config).build_learner()
    with run.locked():
        checkpoints = Checkpoints(run.checkpoints, learner)
        iteration = checkpoints.restore(sets_aside=False)
        history = provenance.held(run.provenance_file)
        exported = validated(source.description, described["config"], type(config))
        problems = exported.differences(config, trained=iteration)
        if iteration != described["iteration"]:
            problems.append(f"iteration is {described['iteration']}, not {iteration}")
        if problems:
            raise RunError(f"{source.path} did not go on from {run.path}: {'; '.join(problems)}")
        state = _arrays(source, source.state, learner)
        best = _arrays(source, source.best, learner) if source.best.exists() else None
        for file, arrays in ((source.state, state), (source.best, best)):
            _require_reached(file, arrays, numbers[1:], config.iterations, learner)
        scores = [row["recent"] for row in progress["rows"] if "recent" in row]
        if best is not None and not (scores and described["score"]):
            raise RunFileError(f"{source.progress} has no scores, which {source.best} needs")
        checkpoints.restore()  # sets damaged ones aside, whose iterations may come again
        if best is not None:
            assign(learner, best)
            BestCheckpoint(run.best_checkpoint, learner).offer(max(scores))
        assign(learner, state)
        checkpoints.save()
        reached = int(learner.optimizer.iterations)
        run.metrics.truncate(described["iteration"])
        for row in progress["rows"]:
            if row["iteration"] <= reached:  # rows are written before the state
                run.metrics.append(named(row, described["score"]))
        provenance.write(run.provenance_file, [*history, *trained])
    return reached


def _arrays(source: StepFolder, file: Path, learner: keras.Model) -> dict[int, np.ndarray]:
    """A file's arrays by index: finite, one for every variable of the learner, of its shape."""
    try:
        arrays = source.read_arrays(file)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunFileError(f"{file} holds no arrays: {error}") from error
    wanted = {index: tuple(v.shape) for index, v in enumerate(state_variables(learner))}
    if {index: array.shape for index, array in arrays.items()} != wanted:
        raise RunFileError(f"{file} is of another network")
    for index, variable in enumerate(state_variables(learner)):
        array = arrays[index]
        is_number = array.dtype.kind in "fiub"
        if not is_number or not np.all(np.isfinite(array.astype(variable.dtype))):
            raise RunFileError(f"{file}: its weights are not all finite numbers")
    return arrays


def _require_reached(
    file: Path,
    arrays: dict[int, np.ndarray] | None,
    logged: list[int],
    iterations: int,
    learner: keras.Model,
) -> None:
    """Raises RunFileError unless a state is of an iteration that progress.json has, and the run."""
    if arrays is None:
        return
    places = {id(variable): place for place, variable in enumerate(state_variables(learner))}
    reached = arrays[places[id(learner.optimizer.iterations)]]
    if reached not in logged or reached > iterations:
        raise RunFileError(f"{file} is of iteration {reached}, which is none that was logged")


def assign(learner: keras.Model, values: dict[int, np.ndarray]) -> None:
    """Sets all variables of a learner and its optimizer."""
    for index, variable in enumerate(state_variables(learner)):
        variable.assign(values[index])


def named(row: _Row, score: str | None) -> dict[str, Any]:
    """A row of metrics.csv: the score under the name that the run has for it."""
    names = {"score": str(score), "recent": f"recent_{score}"}
    return {names.get(column, column): value for column, value in row.items()}


def main() -> int:
    """Parses the command line, takes back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="run folder that was exported")
    parser.add_argument("folder", help="what portable.export wrote and portable.train trained")
    arguments = parser.parse_args()
    try:
        iteration = take_back(RunFolder(arguments.run), StepFolder(arguments.folder))
    except (ConfigError, RunError, OSError) as error:
        print(f"take_back: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.run} is at iteration {iteration}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
