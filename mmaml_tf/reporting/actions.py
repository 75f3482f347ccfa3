"""What the command does with a run: train, evaluate, export. Knows no domain."""

import contextlib
import io
import shutil
from dataclasses import asdict

import keras
import pandas as pd
from absl import logging

from mmaml_tf.config import RunConfig, shown
from mmaml_tf.devices import execution
from mmaml_tf.devices.agreement import require_agreement
from mmaml_tf.devices.workers import ALONE, Workers
from mmaml_tf.reporting import figures
from mmaml_tf.reporting.domain import Domain
from mmaml_tf.reporting.evaluation import BEFORE_MODULATION, write_evaluation
from mmaml_tf.training import fit, provenance
from mmaml_tf.training.run_folder import RunFolder
from mmaml_tf.training.storage import MEGABYTE, replacing, within_memory, writing


def train(
    domain: Domain, folder: RunFolder, overwrite: bool = False, workers: Workers = ALONE
) -> None:
    """Trains (or resumes), evaluates, draws and exports; of several workers, the first does."""
    config = domain.config
    with within_memory(config):
        learner = domain.build_learner()
        learner.workers = workers
        workers.require_shares(config.meta_batch_size, learner.network.num_groups)
        if workers.count > 1:
            _require_same_run(workers, config)
        if not workers.is_first:
            print(f"{workers.name}, for the run in {folder.path}")
            with contextlib.redirect_stdout(io.StringIO()):  # the first one says it all
                domain.train(learner, folder)
            return
        with folder.claimed(domain.config, overwrite):
            print(f"{domain.config.label} on {domain.config.domain}, in {folder.path}")
            print(execution.described(learner))
            with writing(folder.path, MEGABYTE):  # TensorBoard's events
                domain.train(learner, folder)
            workers.part()
            _evaluate(domain, learner, folder.kept_iteration(), folder, folder)
            _export(domain, learner, folder)


def _require_same_run(workers: Workers, config: RunConfig) -> None:
    """Raises RunError unless all workers were given the same run, by the same versions."""
    free = (*config.RESUMABLE, *config.EVALUATION)
    settings = {f"--{name}": shown(value) for name, value in asdict(config).items()}
    settings = {name: value for name, value in settings.items() if name[2:] not in free}
    require_agreement(workers, settings, "give all workers the same command")
    versions = {"code": provenance.code()} | provenance.versions()
    require_agreement(workers, versions, "install the same versions for all workers")


def evaluate(domain: Domain, folder: RunFolder, output: RunFolder) -> None:
    """Evaluates and draws a trained run. What is written goes to `output`, claimed for it."""
    with within_memory(domain.config):
        learner = domain.build_learner()
        iteration = fit.restore(learner, folder)
        print(f"evaluating iteration {iteration} of {folder.path}")
        print(execution.described(learner))
        _evaluate(domain, learner, iteration, folder, output)


def export(domain: Domain, folder: RunFolder, output: RunFolder) -> None:
    """Exports a trained run. What is written goes to `output`, claimed for it."""
    with within_memory(domain.config):
        learner = domain.build_learner()
        fit.restore(learner, folder)
        _export(domain, learner, output)


def _evaluate(
    domain: Domain,
    learner: keras.Model,
    iteration: int | None,
    folder: RunFolder,
    output: RunFolder,
) -> None:
    metrics = folder.metrics.table()
    if metrics.empty:
        logging.warning("%s has no rows, so that no training is drawn", folder.metrics.path)
    output.figures.mkdir(parents=True, exist_ok=True)
    origin = provenance.origin(learner) | {"iteration": iteration, "config": asdict(domain.config)}
    results = domain.evaluate(learner)
    table = domain.summarise(results)
    write_evaluation(output, table, origin)
    print(steps_table(table).to_string())
    for name, figure in domain.run_figures(learner, results, metrics).items():
        figures.save(figure, output.figures / f"{name}.png")
    print(f"wrote {output.evaluation_file} and {output.figures}")


def _export(domain: Domain, learner: keras.Model, output: RunFolder) -> None:
    num_bytes = sum(variable.value.numpy().nbytes for variable in learner.variables)
    with replacing(output.saved_model, MEGABYTE + num_bytes) as partial:  # with its graph
        domain.export(learner, partial)
        for path in output.saved_model.glob("*"):  # a user's notes beside it stay
            if not (partial / path.name).exists():
                copy = shutil.copytree if path.is_dir() else shutil.copy2
                copy(path, partial / path.name)
    print(f"wrote {output.saved_model}")


def steps_table(evaluation: pd.DataFrame) -> pd.DataFrame:
    """evaluation.csv for reading: a row per step, a column per mode, `mean ± ci95`."""
    cells = evaluation.assign(
        cell=[
            f"{mean:.4f} ± {ci:.4f}"
            for mean, ci in zip(evaluation["mean"], evaluation["ci95"], strict=True)
        ]
    )
    table = cells.pivot(index="step", columns="mode", values="cell")
    table = table.rename({BEFORE_MODULATION: "unmodulated"})
    return table[list(evaluation["mode"].unique())]
