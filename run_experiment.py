"""Trains, evaluates, exports and compares meta-learners: flags -> config -> experiment.

python run_experiment.py --method=mumomaml --domain=regression_2mode

A setting that is left out, and has no default below, is the domain's own at the chosen --preset;
the run folder's config.json has them all.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from absl import flags as absl_flags
from absl import logging

import registry
from flags.common import FLAGS, given, refuse_ignored
from mmaml_tf import devices
from mmaml_tf.config import ConfigError, RunConfig
from mmaml_tf.devices import cluster
from mmaml_tf.errors import InterruptedRunError, RunError, last_line
from mmaml_tf.importing import no_collections
from mmaml_tf.training.run_folder import RunFolder

USAGE_ERROR, RUN_ERROR, INTERRUPTED = 2, 1, 130
# What a report's folder is made of, however many runs.
REPORT = "report"
FLAG_MODULES = tuple(
    f"flags.{name}"
    for name in ("common", "regression", "classification", "omniglot", "image_sets", "rl")
)


def choices() -> str:
    """What is registered, for --help: a user's own, too."""
    from mmaml_tf import encoders, methods, networks
    from mmaml_tf.layers.modulation import MODULATIONS

    domains = registry.domains()
    kinds = {name: registration.config_type.KIND for name, registration in domains.items()}
    lines = ["--domain and the --method that each serves:"]
    for kind in dict.fromkeys(kinds.values()):
        named = ", ".join(name for name in kinds if kinds[name] == kind)
        lines.append(f"  {named}: {', '.join(methods.of(kind))}")
    for kind in dict.fromkeys(kinds.values()):
        lines.append(f"--encoder in {kind}: {', '.join(encoders.of(kind))}")
    lines.append(f"--network in classification: {', '.join(networks.of('classification'))}")
    lines.append(f"--modulation: {', '.join(MODULATIONS)}")
    return "\n".join(lines)


def default_folder(config: RunConfig) -> str:
    """runs/<domain>/<label>/seed<N>."""
    return f"runs/{config.domain}/{config.label}/seed{config.seed}"


def train() -> None:
    """--mode=train."""
    from mmaml_tf.devices.joined import joined
    from mmaml_tf.reporting import actions

    registration = registry.find(FLAGS.domain)
    config = registration.config(FLAGS.domain, FLAGS.method, FLAGS.preset)
    folder = RunFolder(FLAGS.output_dir or default_folder(config))
    registration.set_up()  # before workers join, which computes
    with joined(cluster.from_environment()) as workers:
        actions.train(registration.build(config), folder, FLAGS.overwrite, workers)


def use_trained() -> None:
    """--mode=evaluate and --mode=export: the run's own config, but for what the mode may change."""
    from mmaml_tf.reporting import actions

    path = FLAGS.checkpoint or FLAGS.output_dir
    if path is None:
        named = registry.find(FLAGS.domain)
        path = default_folder(named.config(FLAGS.domain, FLAGS.method, FLAGS.preset))
    folder = RunFolder(path)
    config, registration = registry.held_run(folder)
    problems = [
        f"{name} is {getattr(config, name)}, not {FLAGS[name].value}"
        for name in ("domain", "method")
        if FLAGS[name].present and FLAGS[name].value != getattr(config, name)
    ]
    wanted = config
    if not problems:
        wanted = replace(config, **given(registration.config_type, config.method))
        may_change = config.EVALUATION if FLAGS.mode == "evaluate" else config.EXPORT
        problems = config.differences(wanted, allowed=may_change)
    if problems:
        raise RunError(f"{folder.path} holds another run ({'; '.join(problems)})")
    action = actions.evaluate if FLAGS.mode == "evaluate" else actions.export
    if FLAGS.checkpoint is None:
        with folder.locked():
            action(registration.build(wanted), folder, folder)
        return
    source = str(folder.path.resolve())
    mine = f"runs/{config.domain}/{config.label}/checkpoint-{folder.path.resolve().name}"
    output = RunFolder(FLAGS.output_dir or RunFolder(mine).unless_taken(source).path)
    with output.claimed_for(source):
        action(registration.build(wanted), folder, output)


def report_on_runs() -> None:
    """--mode=report."""
    from mmaml_tf.reporting.domain import ReportedRun
    from mmaml_tf.reporting.report import report

    if FLAGS.runs is not None:
        if FLAGS.domain is not None:
            raise ConfigError("domain", FLAGS.domain, "--runs names the runs already; drop one")
        paths = FLAGS.runs
    else:
        registry.find(FLAGS.domain)
        evaluated = Path("runs", FLAGS.domain).glob("*/*/evaluation.csv")
        # Not what --checkpoint wrote there, which is no run.
        paths = sorted(p.parent for p in evaluated if RunFolder(p.parent).holds_run())
    if not paths:
        raise RunError("no evaluated run to report on: train some, or name folders with --runs=a,b")
    runs = []
    for folder in map(RunFolder, paths):
        config, registration = registry.held_run(folder)
        runs.append(ReportedRun(registration.build(folder.evaluated_config(config)), folder))
    mine = RunFolder(f"runs/{runs[0].domain.config.domain}/report").unless_taken(REPORT)
    target = RunFolder(FLAGS.output_dir or mine.path)
    with target.claimed_for(REPORT):
        report(runs, target.path)


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Hides what TensorFlow's libraries print while they load, unless the user set a log level.

    Its notes on instruction sets and absent GPUs come before any log level applies, so the file
    descriptor itself is turned away for that moment.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    # Nor its later notes on kernels that it falls back from; real errors are exceptions.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


ACTIONS = {"train": train, "evaluate": use_trained, "export": use_trained, "report": report_on_runs}


def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status; a user's error is one line, no traceback."""
    logging.set_verbosity(logging.WARNING)
    logging.get_absl_handler().setFormatter(None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where it has no letter for ±
    try:
        argv = sys.argv if argv is None else argv
        if {"-h", "-help", "--help", "--helpfull"} & set(argv):
            print(__doc__)
            print("\n\n".join(FLAGS.module_help(module) for module in FLAG_MODULES))
            with quiet_start(), no_collections():
                print(f"\n{choices()}\n\n{devices.__doc__}")
            return 0
        rest = FLAGS(argv)
        if len(rest) > 1:
            raise absl_flags.Error(f"{rest[1]}: arguments are given as --flag=value")
        refuse_ignored()
        if FLAGS.mode != "train" and (own := cluster.from_environment()) and own.index > 0:
            print(f"--mode={FLAGS.mode} is the first worker's; TF_CONFIG says this is not it")
            return 0
        with quiet_start(), no_collections():
            import tensorflow as tf

            tf.config.list_physical_devices()
        ACTIONS[FLAGS.mode]()
    except absl_flags.Error as error:
        return _fail(f"{' '.join(str(error).split())} (--help lists the flags)", USAGE_ERROR)
    except ConfigError as error:
        return _fail(error, USAGE_ERROR)
    except InterruptedRunError as error:
        return _fail(error, INTERRUPTED)
    except RunError as error:
        return _fail(error, RUN_ERROR)
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        return _fail(f"{file}{error.strerror or error}", RUN_ERROR)
    except KeyboardInterrupt:
        return _fail("interrupted; the last checkpoint stands", INTERRUPTED)
    return 0


def _fail(message: object, status: int) -> int:
    print(last_line(message), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
