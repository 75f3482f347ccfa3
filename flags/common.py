"""Flags of every domain and method. Those left out take the preset's value."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags as absl_flags

from mmaml_tf import methods
from mmaml_tf.config import ConfigError, RunConfig
from mmaml_tf.few_shot.config import LR_SCHEDULES
from mmaml_tf.learners.options import DECAYS, HEAD_INITIALIZERS, INNER_OPTIMIZERS

MODES = ("train", "evaluate", "export", "report")
PRESETS = ("paper", "quick")
FLAGS = absl_flags.FLAGS


class PathParser(absl_flags.ArgumentParser):
    """Folders of this machine; `~` is the home folder."""

    def parse(self, argument: str) -> str:
        """The path, spelled out."""
        return local_path(argument)

    def flag_type(self) -> str:
        """As --help names it."""
        return "folder"


class ListParser(absl_flags.ArgumentParser):
    """Values with commas between, as a tuple.

    Args:
      read: a value's text -> the value, or ValueError.
      named: as --help names it.
      may_be_empty: whether an empty text is no values, not an empty one.
    """

    def __init__(self, read: Callable[[str], Any], named: str, may_be_empty: bool = False):
        super().__init__()
        self._read = read
        self._named = named
        self._may_be_empty = may_be_empty

    def parse(self, argument: str | Sequence[str]) -> tuple:
        """The values."""
        if argument == "" and self._may_be_empty:
            return ()
        given = argument.split(",") if isinstance(argument, str) else argument
        return tuple(self._read(value) for value in given)

    def flag_type(self) -> str:
        """As --help names it."""
        return self._named


def local_path(argument: str) -> str:
    """A folder as the user gives it, `~` spelled out.

    Raises:
      ValueError: if it is no place on this machine.
    """
    if not argument.strip():
        raise ValueError("is empty: name a folder")
    if not argument.isprintable() or argument != argument.encode(errors="replace").decode():
        raise ValueError("holds what is no text (UTF-8): give the folder another name")
    if "://" in argument:
        raise ValueError("is not on this machine: give a local folder (or mount it)")
    path = os.path.expanduser(argument)
    if path.startswith("~"):
        user = path.split("/")[0]
        raise ValueError(f"{user[1:]} is no user of this machine (or is ./{user} meant?)")
    return path


def width(argument: str) -> int:
    """A layer's width.

    Raises:
      ValueError: if it is no whole number.
    """
    try:
        return int(argument)
    except ValueError:
        raise ValueError("must be widths, such as 64,64,64") from None


def define_path(name: str, help_text: str) -> absl_flags.FlagHolder:
    """A flag that takes a folder."""
    return absl_flags.DEFINE(PathParser(), name, None, help_text)


def define_paths(name: str, help_text: str) -> absl_flags.FlagHolder:
    """A flag that takes folders."""
    return absl_flags.DEFINE(ListParser(local_path, "folder,folder,..."), name, None, help_text)


def define_widths(name: str, help_text: str) -> absl_flags.FlagHolder:
    """A flag that takes layers' widths."""
    return absl_flags.DEFINE(ListParser(width, "64,64,..."), name, None, help_text)


_settings: set[str] = set()


def settings(*holders: absl_flags.FlagHolder) -> None:
    """Declares flags as what a run is: each is a field of the configs that have that setting."""
    _settings.update(holder.name for holder in holders)


# What is asked of which run; its settings follow.
absl_flags.DEFINE_string("method", "mumomaml", "Meta-learning method (see below).")
absl_flags.DEFINE_string("domain", None, "Task distribution (see below).")
absl_flags.DEFINE_enum(
    "mode",
    "train",
    MODES,
    "train: train (resuming if the folder holds the same run), then evaluate, draw and export. "
    "evaluate, export: do that with the run's best checkpoint (regression: the last). "
    "report: compare several run folders in a table and figures.",
)
absl_flags.DEFINE_enum("preset", "paper", PRESETS, "Full paper scale, or a few minutes.")
define_path(
    "output_dir",
    "Run folder. Default: runs/<domain>/<label>/seed<N>, with a label such as mumomaml-film, or "
    "runs/<domain>/report for --mode=report.",
)
define_path(
    "checkpoint",
    "Folder of a trained run, such as one of pretrained/, that --mode=evaluate and --mode=export "
    "read but do not write; --output_dir is then where the results go, by default "
    "runs/<domain>/<label>/checkpoint-<its name>.",
)
absl_flags.DEFINE_bool("overwrite", False, "Delete the run that the folder holds, and start over.")
define_paths(
    "runs",
    "Run folders to report on. Default: all of runs/<domain> that were evaluated.",
)

# Of the domains that share them; each domain's other settings are in its own file.
settings(
    absl_flags.DEFINE_string(
        "modulation", None, "How a method that has a task encoder modulates (see below)."
    ),
    absl_flags.DEFINE_enum(
        "head_initializer",
        None,
        HEAD_INITIALIZERS,
        "Where the modulation starts: at random, or from none.",
    ),
    absl_flags.DEFINE_integer("seed", None, "Of initial weights and training tasks."),
    absl_flags.DEFINE_integer("iterations", None, "Meta-iterations."),
    absl_flags.DEFINE_integer(
        "meta_batch_size", None, "Tasks per meta-iteration, a multiple of the modes."
    ),
    absl_flags.DEFINE_integer("inner_steps", None, "Gradient steps on a support set."),
    absl_flags.DEFINE_float("inner_lr", None, "Learning rate of the inner steps (alpha)."),
    absl_flags.DEFINE_bool("first_order", None, "Ignore second derivatives (first-order MAML)."),
    absl_flags.DEFINE_float(
        "inner_clip_norm", None, "Limit of a task's inner gradient norm; 0 for none."
    ),
    absl_flags.DEFINE_float(
        "inner_clip_value", None, "Limit of each inner gradient element; 0 for none."
    ),
    absl_flags.DEFINE_integer("log_every", None, "Iterations per row of metrics.csv."),
    absl_flags.DEFINE_integer(
        "checkpoint_every", None, "Iterations between checkpoints, a multiple of log_every."
    ),
    absl_flags.DEFINE_integer(
        "eval_tasks", None, "Fresh tasks to evaluate on, a multiple of the modes."
    ),
    absl_flags.DEFINE_integer("eval_seed", None, "Of the evaluation tasks."),
    absl_flags.DEFINE_bool(
        "learned_rates", None, "Meta-learn a rate per weight, as meta_sgd does (mumomaml)."
    ),
    absl_flags.DEFINE_integer(
        "context_size", None, "Numbers (or image channels) that context appends to an input."
    ),
    absl_flags.DEFINE_integer(
        "eval_steps",
        None,
        "Gradient steps at evaluation, on images also in validation and export; of rl2 episodes "
        "after the first.",
    ),
    absl_flags.DEFINE_string(
        "encoder", None, "Task encoder of a method that modulates (see below)."
    ),
    define_widths("hidden_units", "Widths of the hidden layers, such as 100,100,100."),
    absl_flags.DEFINE_integer("encoder_units", None, "Width of the task encoder."),
    absl_flags.DEFINE_float("meta_lr", None, "Learning rate of the meta-optimiser."),
    absl_flags.DEFINE_enum("lr_schedule", None, LR_SCHEDULES, "Of the meta learning rate."),
    absl_flags.DEFINE_float("meta_clip_norm", None, "Limit of the meta-gradient norm; 0 for none."),
    absl_flags.DEFINE_float(
        "meta_clip_value", None, "Limit of each meta-gradient element; 0 for none."
    ),
    absl_flags.DEFINE_bool("jit_compile", None, "Compile with XLA; default: on a GPU."),
    absl_flags.DEFINE_integer(
        "multi_step_iterations",
        None,
        "maml_plus_plus: while query losses after earlier steps count, too; 0 for never.",
    ),
    absl_flags.DEFINE_integer(
        "first_order_iterations", None, "maml_plus_plus: at first without second derivatives."
    ),
    absl_flags.DEFINE_bool("rates_per_step", None, "maml_plus_plus: a rate per layer and step."),
    absl_flags.DEFINE_bool("norm_per_step", None, "maml_plus_plus: batch norm's scales per step."),
    absl_flags.DEFINE_enum(
        "inner_optimizer", None, INNER_OPTIMIZERS, "Of reptile's steps; adam is without momentum."
    ),
    absl_flags.DEFINE_integer("inner_batch_size", None, "Points or images of reptile's steps."),
    absl_flags.DEFINE_integer(
        "eval_batch_size", None, "Points or images of reptile's steps at evaluation."
    ),
    absl_flags.DEFINE_integer(
        "network_steps", None, "parameter_average: of each of the networks that it is of."
    ),
    absl_flags.DEFINE_float("network_lr", None, "parameter_average: the rate of those steps."),
    absl_flags.DEFINE_float(
        "weight_decay", None, "parameter_average: of its networks; 0 for none."
    ),
    absl_flags.DEFINE_enum(
        "decay_to", None, DECAYS, "parameter_average: zero, or the mean of the networks before."
    ),
    absl_flags.DEFINE_integer("width", None, "Of in_context's tokens."),
    absl_flags.DEFINE_integer("depth", None, "Blocks of in_context's transformer."),
    absl_flags.DEFINE_integer(
        "heads", None, "Of each of in_context's attentions; they divide the width."
    ),
    absl_flags.DEFINE_float(
        "cosine_scale", None, "Where matching's learned factor starts; 0 for plain cosines."
    ),
    absl_flags.DEFINE_integer(
        "num_shots", None, "K, support points per task (images per class in classification)."
    ),
    absl_flags.DEFINE_integer(
        "num_queries", None, "Query points per training task (images per class in classification)."
    ),
    absl_flags.DEFINE_integer(
        "eval_queries", None, "Query points per evaluation task (images per class likewise)."
    ),
    absl_flags.DEFINE_integer(
        "eval_shots", None, "K of evaluation tasks; by default as in training."
    ),
)

# What goes with a mode. The settings go with all but report: its runs have theirs.
_MODE_FLAGS = {
    "train": {"domain", "method", "preset", "output_dir", "overwrite"},
    "evaluate": {"domain", "method", "output_dir", "checkpoint"},
    "export": {"domain", "method", "output_dir", "checkpoint"},
    "report": {"domain", "output_dir", "runs"},
}


def refuse_ignored() -> None:
    """Refuses flags that the chosen mode would ignore.

    Raises:
      ConfigError: naming one, and what it goes with.
    """

    def goes_with(name: str, mode: str) -> bool:
        return name in _MODE_FLAGS[mode] or (name in _settings and mode != "report")

    for name in sorted(_settings.union(*_MODE_FLAGS.values())):
        if FLAGS[name].present and not goes_with(name, FLAGS.mode):
            modes = " or ".join(mode for mode in MODES if goes_with(name, mode))
            raise ConfigError(name, FLAGS[name].value, f"goes with --mode={modes}")


def given(config_type: type[RunConfig], method: str) -> dict[str, Any]:
    """The settings made on the command line, by config field name.

    Args:
      config_type: of the run.
      method: of the run.

    Raises:
      ConfigError: if one was made that these runs do not have, or that says how to train a method
        that is not trained.
    """
    known = methods.of(config_type.KIND).get(method)
    ignored = () if known is None or known.is_trained else config_type.TRAINING
    allowed = {field.name for field in dataclasses.fields(config_type)}
    made = {name: FLAGS[name].value for name in sorted(_settings) if FLAGS[name].present}
    for name, value in made.items():
        if name not in allowed:
            whose = f"--domain={FLAGS.domain}" if FLAGS.domain else "this run's domain"
            raise ConfigError(name, value, f"not a setting of {whose}")
        if name in ignored:
            raise ConfigError(name, value, f"--method={method} is not trained; drop it")
    return made
