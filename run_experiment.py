"""Trains, evaluates, exports and compares meta-learners: flags -> config -> experiment.

python run_experiment.py --method=mumomaml --domain=regression_2mode

A setting that is left out, and has no default below, is the domain's own at the chosen --preset;
the run folder's config.json has them all.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags as absl_flags
from absl import logging

import flags.omniglot
import flags.regression
import flags.rl
from flags.common import FLAGS, refuse_ignored
from mmaml_tf.config import ConfigError, RunConfig
from mmaml_tf.errors import InterruptedRunError, RunError
from mmaml_tf.run_folder import RunFolder

USAGE_ERROR, RUN_ERROR, INTERRUPTED = 2, 1, 130
# What a report's folder is made of, however many runs.
REPORT = "report"
FLAG_MODULES = ("flags.common", "flags.regression", "flags.omniglot", "flags.rl")


class Registration(NamedTuple):
    """A domain that the command knows.

    Attributes:
      config: (domain, method, preset) -> the config that the flags ask for.
      given: the settings made on the command line.
      config_type: to read a run folder's config with.
      domain: config -> `mmaml_tf.experiment.Domain`.
      intra_op_threads: that share one TensorFlow operation; 0 for one per core. The many small
        operations of a few-shot meta-step run fastest side by side, one thread each
        (benchmarks/meta_step.py, conv_step.py), the large ones of reinforcement learning one by
        one on all cores (rl_iteration.py).
    """

    config: Callable[[str, str, str], RunConfig]
    given: Callable[[], dict[str, Any]]
    config_type: type[RunConfig]
    domain: Callable
    intra_op_threads: int = 1

    def build(self, config: RunConfig) -> Any:
        """The domain of a run, with TensorFlow set up for it."""
        import tensorflow as tf

        # Too late if this process has computed before: it keeps the threads that it has then.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(self.intra_op_threads)
        return self.domain(config)


def registered_domains() -> dict[str, Registration]:
    """All domains, by name. Imports TensorFlow, so not before the flags were parsed."""
    from data.goals import GOALS
    from data.omniglot import OmniglotTasks
    from data.regression import MIXTURES, Mixture
    from mmaml_tf import envs
    from mmaml_tf.omniglot.config import OmniglotConfig
    from mmaml_tf.regression.domain import RegressionConfig, RegressionDomain
    from mmaml_tf.rl.config import RlConfig

    def regression(mixture: Mixture) -> Registration:
        modes = tuple(mixture.mode_names)
        return Registration(
            config=functools.partial(flags.regression.config, modes),
            given=flags.regression.given,
            config_type=RegressionConfig,
            domain=lambda config: RegressionDomain(
                config, replace(mixture, noise_stddev=config.noise_stddev)
            ),
        )

    def omniglot(config: OmniglotConfig) -> Any:
        from mmaml_tf.omniglot.domain import OmniglotDomain

        tasks = OmniglotTasks.load(
            config.data_dir,
            config.split_seed,
            config.train_characters,
            config.validation_characters,
            config.num_ways,
        )
        return OmniglotDomain(config, tasks)

    def reinforcement(name: str, env_id: str) -> Registration:
        def build(config: RlConfig) -> Any:
            from mmaml_tf.rl.domain import RlDomain

            return RlDomain(config, env_id, GOALS[name])

        return Registration(
            config=functools.partial(flags.rl.config, GOALS[name].mode_names),
            given=flags.rl.given,
            config_type=RlConfig,
            domain=build,
            intra_op_threads=0,
        )

    return {
        **{name: regression(mixture) for name, mixture in MIXTURES.items()},
        "omniglot": Registration(
            config=flags.omniglot.config,
            given=flags.omniglot.given,
            config_type=OmniglotConfig,
            domain=omniglot,
        ),
        "navigation_2d": reinforcement("navigation_2d", envs.NAVIGATION_2D),
        "cheetah_location": reinforcement("cheetah_location", envs.HALF_CHEETAH_LOCATION),
        "cheetah_speed": reinforcement("cheetah_speed", envs.HALF_CHEETAH_SPEED),
    }


def choices() -> str:
    """What is registered, for --help: a user's own, too."""
    from mmaml_tf import methods
    from mmaml_tf.layers.modulation import MODULATIONS

    domains = registered_domains()
    kinds = {name: registration.config_type.KIND for name, registration in domains.items()}
    lines = ["--domain and the --method that each serves:"]
    for kind in dict.fromkeys(kinds.values()):
        named = ", ".join(name for name in kinds if kinds[name] == kind)
        lines.append(f"  {named}: {', '.join(methods.of(kind))}")
    lines.append(f"--modulation: {', '.join(MODULATIONS)}")
    return "\n".join(lines)


def find_domain(domains: dict[str, Registration], name: str | None) -> Registration:
    """The registration of a domain.

    Raises:
      ConfigError: if there is none.
    """
    if name not in domains:
        raise ConfigError("domain", name or "", f"choose from {', '.join(domains)}")
    return domains[name]


def held_run(domains: dict[str, Registration], folder: RunFolder) -> tuple[RunConfig, Registration]:
    """A trained run's config, read from its folder, and its domain."""
    registration = find_domain(domains, folder.domain())
    return folder.config(registration.config_type), registration


def default_folder(config: RunConfig) -> str:
    """runs/<domain>/<label>/seed<N>."""
    return f"runs/{config.domain}/{config.label}/seed{config.seed}"


def train(domains: dict[str, Registration]) -> None:
    """--mode=train."""
    from mmaml_tf import experiment

    registration = find_domain(domains, FLAGS.domain)
    config = registration.config(FLAGS.domain, FLAGS.method, FLAGS.preset)
    folder = RunFolder(FLAGS.output_dir or default_folder(config))
    experiment.train(registration.build(config), folder, FLAGS.overwrite)


def use_trained(domains: dict[str, Registration]) -> None:
    """--mode=evaluate and --mode=export: the run's own config, but for what the mode may change."""
    from mmaml_tf import experiment

    path = FLAGS.checkpoint or FLAGS.output_dir
    if path is None:
        named = find_domain(domains, FLAGS.domain)
        path = default_folder(named.config(FLAGS.domain, FLAGS.method, FLAGS.preset))
    folder = RunFolder(path)
    config, registration = held_run(domains, folder)
    problems = [
        f"{name} is {getattr(config, name)}, not {FLAGS[name].value}"
        for name in ("domain", "method")
        if FLAGS[name].present and FLAGS[name].value != getattr(config, name)
    ]
    wanted = config
    if not problems:
        given = registration.given()
        wanted = replace(config, **given)
        may_change = config.EVALUATION if FLAGS.mode == "evaluate" else config.EXPORT
        problems = config.differences(wanted, allowed=may_change)
    if problems:
        raise RunError(f"{folder.path} holds another run ({'; '.join(problems)})")
    action = experiment.evaluate if FLAGS.mode == "evaluate" else experiment.export
    if FLAGS.checkpoint is None:
        with folder.locked():
            action(registration.build(wanted), folder, folder)
        return
    source = str(folder.path.resolve())
    mine = f"runs/{config.domain}/{config.label}/checkpoint-{folder.path.resolve().name}"
    output = RunFolder(FLAGS.output_dir or RunFolder(mine).unless_taken(source).path)
    with output.claimed_for(source):
        action(registration.build(wanted), folder, output)


def report_on_runs(domains: dict[str, Registration]) -> None:
    """--mode=report."""
    from mmaml_tf.report import ReportedRun, report

    if FLAGS.runs is not None:
        if FLAGS.domain is not None:
            raise ConfigError("domain", FLAGS.domain, "--runs names the runs already; drop one")
        paths = [Path(path) for path in FLAGS.runs]
    else:
        find_domain(domains, FLAGS.domain)
        evaluated = Path("runs", FLAGS.domain).glob("*/*/evaluation.csv")
        # Not what --checkpoint wrote there, which is no run.
        paths = sorted(p.parent for p in evaluated if RunFolder(p.parent).holds_run())
    if not paths:
        raise RunError("no evaluated run to report on: train some, or name folders with --runs=a,b")
    runs = []
    for folder in map(RunFolder, paths):
        config, registration = held_run(domains, folder)
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
    try:
        argv = sys.argv if argv is None else argv
        if {"-h", "-help", "--help", "--helpfull"} & set(argv):
            print(__doc__)
            print("\n\n".join(FLAGS.module_help(module) for module in FLAG_MODULES))
            with quiet_start():
                print(f"\n{choices()}")
            return 0
        rest = FLAGS(argv)
        if len(rest) > 1:
            raise absl_flags.Error(f"{rest[1]}: arguments are given as --flag=value")
        refuse_ignored()
        with quiet_start():
            import tensorflow as tf

            tf.config.list_physical_devices()
        ACTIONS[FLAGS.mode](registered_domains())
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
    print(f"run_experiment: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
