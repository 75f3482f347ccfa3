"""Model cards of the packed SavedModels: pretrained/<domain>/saved_model/README.md.

    python -m tools.model_card [domain ...]

All that a card says is read from what it describes: the signatures of the SavedModel, and the
packed run's settings, evaluation and provenance. `tools.rows.SERVED` says which run that is.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from mmaml_tf.config import ConfigError, RunConfig, shown
from mmaml_tf.errors import RunError
from mmaml_tf.reporting import markdown
from mmaml_tf.reporting.domain import evaluated_at
from mmaml_tf.reporting.evaluation import read_evaluation, step_name
from mmaml_tf.training import provenance
from mmaml_tf.training.callbacks import time_text
from mmaml_tf.training.run_files import write_atomically
from mmaml_tf.training.run_folder import RunFolder
from registry import held_run
from tools import places, rows

CARD = "README.md"

# By a domain or its kind: what its tasks are, and what is not known of the model.
TASKS = {
    "regression": (
        "Curves y = f(x), drawn from the prior of `data/regression.py`, in equal parts of these "
        "modes: {modes}. x is uniform in -5 to 5; y has Gaussian noise of standard deviation "
        "{noise_stddev}. A task shows {num_shots} points. The data is synthetic."
    ),
    "omniglot": (
        "{num_ways} classes that were not met before, {num_shots} image(s) of each to learn from: "
        "handwritten characters of Omniglot (Lake et al., 2015), 28 x 28, ink is 1, in rotations "
        "by 90 degrees. {train_characters} characters were trained on, {validation_characters} "
        "picked the checkpoint, the rest is for evaluation."
    ),
    "rl": (
        "Goals in the simulated environment `{domain}`, drawn from the prior of `data/goals.py`, "
        "with these modes: {modes}. The agent is told a goal by its rewards alone. It explores for "
        "{embedding_trajectories} episode(s) first; a gradient step is on {rollouts} episodes."
    ),
}
LIMITS = {
    "regression": (
        "Curves of other families, x outside -5 to 5, other noise, and other numbers of points "
        "than {num_shots} were not measured.",
        "A few tasks have errors far above the mean: points may fit another mode as well.",
    ),
    "omniglot": (
        "Images other than such drawings, and other numbers of classes, were not measured.",
        "Batch normalisation takes its statistics from the given set: the query images of a call "
        "depend on one another, and the figures are of sets with {eval_queries} of every class.",
        "The probabilities were not calibrated.",
    ),
    "rl": (
        "It is for this simulator, with its observations and rewards, and for goals of this prior. "
        "It knows no limits of a real machine.",
        "Gradient steps are noisy: with fewer than {rollouts} episodes a step they were not "
        "measured.",
    ),
}
OTHER_TASKS = "Tasks of the domain `{domain}`, as its settings below say."
ALWAYS = (
    "The intervals below are over tasks, of this one training; other trainings differ (see "
    "`results/{domain}/table.md` for those that were made)."
)


def write(run: RunFolder, evaluated: RunFolder, saved_model: Path) -> Path:
    """Writes the card beside a SavedModel; returns where.

    Args:
      run: packed, that the SavedModel was exported from.
      evaluated: where its evaluation is.
      saved_model: folder.

    Raises:
      RunError: if the run can't be read, or was not evaluated.
    """
    config, _ = held_run(run)
    if not evaluated.evaluation_file.exists():
        raise RunError(f"{evaluated.path} has no evaluation: --mode=evaluate makes it")
    settings = {name: _text(value) for name, value in dataclasses.asdict(config).items()}
    named = config.domain if config.domain in TASKS else config.KIND
    limits = [text.format_map(settings) for text in (*LIMITS.get(named, ()), ALWAYS)]
    sections = {
        "What it is": _method(config),
        "Trained on": TASKS.get(named, OTHER_TASKS).format_map(settings),
        "Limits": "\n".join(f"* {text}" for text in limits),
        "Inputs and outputs": _signatures(saved_model),
        "Measured": _measured(evaluated),
        "Training": _training(run, evaluated),
        "Settings": _settings(config),
        "Licence": "MIT, as the project's (LICENSE).",
    }
    parts = [f"# {config.domain}: {run.path.name}"]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items()]
    write_atomically(saved_model / CARD, "\n\n".join(parts) + "\n")
    return saved_model / CARD


def write_packed(domain: str) -> Path | None:
    """Writes the card of a domain's packed SavedModel; None if it has none."""
    saved_model = places.kept(domain).saved_model
    if domain not in rows.SERVED or not (saved_model / "saved_model.pb").exists():
        return None
    name = rows.SERVED[domain]
    return write(places.kept(domain, name), places.results(domain, name), saved_model)


def _method(config: RunConfig) -> str:
    modulation = f" with modulation `{config.modulation}`" if config.modulation else ""
    return (
        f"A learner that adapts to a new task by its examples: `{config.method}`{modulation}, as a "
        "TensorFlow SavedModel that needs TensorFlow alone. `pretrained/README.md` shows how to "
        "call it. It is meant for research, and for comparison with other methods."
    )


def _signatures(saved_model: Path) -> str:
    """A table per signature; sizes that are free are `?`."""
    texts = []
    for name, function in tf.saved_model.load(str(saved_model)).signatures.items():
        _, inputs = function.structured_input_signature
        sides = {"input": inputs, "output": function.structured_outputs}
        lines = [
            [side, f"`{argument}`", _shape(spec.shape), spec.dtype.name]
            for side, specs in sides.items()
            for argument, spec in sorted(specs.items())
        ]
        table = markdown.table(["", "name", "shape", "type"], lines)
        texts.append(f"`{name}`:\n\n{table}")
    return "\n\n".join(texts)


def _shape(shape: tf.TensorShape) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _measured(evaluated: RunFolder) -> str:
    table = read_evaluation(evaluated.evaluation_file)
    modes = list(table["mode"].unique())
    lines = []
    for step, of_step in table.groupby("step"):
        by_mode = of_step.set_index("mode")
        cells = [f"{by_mode['mean'][mode]:.4f} ± {by_mode['ci95'][mode]:.4f}" for mode in modes]
        lines.append([step_name(step), *cells])
    metric, num_tasks = table["metric"].iloc[0], table["num_tasks"].max()
    head = ["", *(f"{metric}, {mode}" for mode in modes)]
    text = f"Means ± 95% intervals on {num_tasks:,} tasks that training did not meet."
    return f"{text}\n\n{markdown.table(head, lines)}"


def _training(run: RunFolder, evaluated: RunFolder) -> str:
    history = provenance.held(run.provenance_file)
    lines = [f"* weights of iteration {evaluated_at(evaluated, run)}"]
    for start in history:
        device = start.get("device") or f"{start['cores']} core(s)"
        lines.append(
            f"* `{start['command']}` at commit {start['commit'] or '?'}, to iteration "
            f"{start['iterations']}, {time_text(start['seconds'])} on {device}"
        )
    return "\n".join(lines if history else [*lines, "* its command and commit were not recorded"])


def _settings(config: RunConfig) -> str:
    lines = [
        [f"`{name}`", _text(value)]
        for name, value in dataclasses.asdict(config).items()
        if value is not None and name != "data_dir"  # a place on some machine
    ]
    return markdown.table(["setting", "value"], lines)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else shown(value)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, writes the cards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("domain", nargs="*", choices=[[], *rows.SERVED], help="default: all")
    for domain in parser.parse_args(arguments).domain or rows.SERVED:
        try:
            if path := write_packed(domain):
                print(path.relative_to(places.ROOT))
        except (RunError, ConfigError, OSError) as error:
            sys.exit(f"model_card: {error}")


if __name__ == "__main__":
    main()
