"""Takes the training of an exported step back into the run that it came from."""

import argparse
import sys
from typing import Any

import keras
import numpy as np

from mmaml_tf.errors import RunError
from mmaml_tf.training import provenance
from mmaml_tf.training.best_checkpoint import BestCheckpoint
from mmaml_tf.training.checkpoints import Checkpoints
from mmaml_tf.training.run_files import validated
from mmaml_tf.training.run_folder import RunFolder
from portable.export import state_variables
from portable.step_folder import StepFolder
from registry import held_run


def take_back(run: RunFolder, source: StepFolder) -> int:
    """Adds metrics, checkpoints and provenance to the run; returns the iteration that it is at.

    Raises:
      RunError: if nothing was trained, or the run is not as it was at the export.
    """
    if not source.description.exists():
        raise RunError(f"{source.path} holds no exported step: python -m portable.export")
    described = source.read(source.description)
    if not source.progress.exists():
        raise RunError(f"{source.path} was not trained: python -m portable.train {source.path}")
    progress = source.read(source.progress)
    config, registration = held_run(run)
    learner = registration.build(config).build_learner()
    checkpoints = Checkpoints(run.checkpoints, learner)
    iteration = checkpoints.restore()
    history = provenance.held(run.provenance_file)
    exported = validated(source.description, described["config"], type(config))
    problems = exported.differences(config, trained=iteration)
    if iteration != described["iteration"]:
        problems.append(f"iteration is {described['iteration']}, not {iteration}")
    state = source.read_arrays(source.state)
    best = source.read_arrays(source.best) if source.best.exists() else {}
    if not all(np.all(np.isfinite(array)) for array in (*state.values(), *best.values())):
        problems.append("its weights are not all finite")
    if problems:
        raise RunError(f"{source.path} did not go on from {run.path}: {'; '.join(problems)}")
    if best:
        assign(learner, best)
        score = max(row["recent"] for row in progress["rows"])
        BestCheckpoint(run.best_checkpoint, learner).offer(score)
    assign(learner, state)
    checkpoints.save()
    reached = int(learner.optimizer.iterations)
    run.metrics.truncate(described["iteration"])
    for row in progress["rows"]:
        if row["iteration"] <= reached:  # rows are written before the state
            run.metrics.append(named(row, described["score"]))
    trained = [entry for entry in progress["starts"] if "seconds" in entry]
    provenance.write(run.provenance_file, [*history, *trained])
    return reached


def assign(learner: keras.Model, values: dict[int, np.ndarray]) -> None:
    """Sets all variables of a learner and its optimizer."""
    for index, variable in enumerate(state_variables(learner)):
        variable.assign(values[index])


def named(row: dict[str, Any], score: str | None) -> dict[str, Any]:
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
    except RunError as error:
        print(f"take_back: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.run} is at iteration {iteration}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
