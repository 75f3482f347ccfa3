"""Exports a run's training as a program for `portable.train`, with the state to go on from."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras
import tensorflow as tf

from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.few_shot.domain import FewShotDomain
from mmaml_tf.training import provenance
from mmaml_tf.training.best_checkpoint import BestCheckpoint
from mmaml_tf.training.checkpoints import Checkpoints
from mmaml_tf.training.fit import Validation
from mmaml_tf.training.run_folder import RunFolder
from portable.step_folder import StepFolder
from registry import held_run


def export(run: RunFolder, target: StepFolder, log_every: int | None = None) -> int:
    """Exports from the run's newest checkpoint; returns its iteration.

    Args:
      run: trained for any number of iterations, none too.
      target: written to.
      log_every: iterations per call of the program; the run's own by default.

    Raises:
      RunError: if there is no such run, it is not a supervised one, or it is complete; or if what
        `target` holds was trained.
    """
    if target.progress.exists():
        raise RunError(f"{target.path} was trained: give another folder, or delete it")
    config, registration = held_run(run)
    trained = asdict(config)
    if log_every is not None:
        config = replace(config, log_every=log_every, checkpoint_every=log_every)
    domain = registration.build(config)
    if not isinstance(domain, FewShotDomain):
        raise RunError(f"{run.path} trains in a simulator: only supervised runs can be exported")
    learner = domain.build_learner()
    learner.map_tasks = False  # one task after the other is for a CPU's cores
    iteration = Checkpoints(run.checkpoints, learner).restore(sets_aside=False)
    if iteration is None or iteration + config.log_every > config.iterations:
        raise RunError(f"{run.path} has nothing to train: {iteration} of {config.iterations}")
    validation = domain.validation(learner)
    program, captured = compiled(interval(domain, learner, config.log_every, validation))
    variables = state_variables(learner)
    places = {id(variable.value.handle): index for index, variable in enumerate(variables)}
    target.path.mkdir(parents=True, exist_ok=True)
    target.program.write_bytes(program)
    target.write_arrays(
        target.constants,
        {
            place: tensor.numpy()
            for place, tensor in enumerate(captured)
            if id(tensor) not in places
        },
    )
    target.write_arrays(target.state, {i: v.numpy() for i, v in enumerate(variables)})
    target.write(
        target.description,
        {
            "config": trained,
            "commit": provenance.commit(),
            "iteration": iteration,
            "iterations": config.iterations,
            "log_every": config.log_every,
            "score": validation and validation.name,
            "over": validation.over if validation else 1,
            "scores": run.metrics.column(validation.name, iteration) if validation else [],
            "best": BestCheckpoint(run.best_checkpoint, learner).score(),
            "iterations_variable": places[id(learner.optimizer.iterations.value.handle)],
            # What the program takes: the index of a variable, or null for a constant.
            "inputs": [places.get(id(tensor)) for tensor in captured],
        },
    )
    return iteration


def interval(
    domain: FewShotDomain, learner: keras.Model, log_every: int, validation: Validation | None
) -> Callable[[], tuple[tf.Tensor, ...]]:
    """A logging interval: so many meta-steps, from the iteration that the learner is at.

    Returns:
      Of no arguments: the means of the query and support loss, and the validation score if any.
    """

    def run() -> tuple[tf.Tensor, ...]:
        for metric in learner.metrics:
            metric.reset_state()
        first = tf.cast(learner.optimizer.iterations, tf.int64)

        def body(done: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
            means = learner.train_step(domain.training_tasks(first + done))
            return done + 1, *(means[metric.name] for metric in learner.metrics)

        start = (tf.constant(0, tf.int64), *(tf.constant(0.0) for _ in learner.metrics))
        _, *means = tf.while_loop(lambda done, *_: done < log_every, body, start)
        return (*means, validation.score()) if validation is not None else tuple(means)

    return run


def compiled(function: Callable[[], tuple[tf.Tensor, ...]]) -> tuple[bytes, Sequence[tf.Tensor]]:
    """A function as StableHLO, and what it captured, which are the program's arguments.

    The program returns the function's results and then every variable that it changed; its
    `input_output_alias` says which argument each of those is.
    """
    traced = tf.function(function, jit_compile=True, autograph=False, input_signature=[])
    captured = traced.get_concrete_function().captured_inputs
    return traced.experimental_get_compiler_ir()(stage="stablehlo_serialized"), captured


def state_variables(learner: keras.Model) -> list[keras.Variable]:
    """All that a training step reads or changes, in a fixed order."""
    means = [variable for metric in learner.metrics for variable in metric.variables]
    return [*learner.variables, *learner.optimizer.variables, *means]


def main() -> int:
    """Parses the command line, exports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="run folder; it must hold a checkpoint")
    parser.add_argument("folder", help="to write the program and the state to")
    parser.add_argument("--log_every", type=int, help="iterations per call and row of metrics.csv")
    arguments = parser.parse_args()
    try:
        iteration = export(
            RunFolder(arguments.run), StepFolder(arguments.folder), arguments.log_every
        )
    except (ConfigError, RunError, OSError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print(f"wrote {Path(arguments.folder)}: goes on from iteration {iteration}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
