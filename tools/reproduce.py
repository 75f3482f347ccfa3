"""Trains, evaluates and keeps what the README's tables need.

    python -m tools.reproduce TABLE [TABLE ...] [--seeds=3] [--rows=maml,mumomaml-*] [--jobs=2]

Trains what is missing, goes on with what was cut, and evaluates it on the held-out tasks. Packs one
seed's weights of every row into pretrained/, and records the others' evaluations. Then it writes
tables and figures anew (tools.regenerate). A run that fails or diverges is reported at the end, and
the exit status is 1; the others go on. Ctrl-C saves and stops, and the same command goes on.

--list names tables and rows, and --dry_run says what would be done, and how long it would take by
the kept runs' times. With --preset=quick nothing is kept: a report on runs/quick/ says what came.
"""

import argparse
import dataclasses
import fnmatch
import math
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.reporting.domain import ReportedRun
from mmaml_tf.reporting.evaluation import read_evaluation
from mmaml_tf.reporting.report import report
from mmaml_tf.training.callbacks import time_text
from mmaml_tf.training.run_folder import LOCK, RunFolder
from mmaml_tf.training.storage import replacing
from registry import held_run
from tools import pack, places, plan, regenerate, rows
from tools.plan import Plan, Run, State
from tools.row import Training
from tools.side_by_side import Step, run_all

SCRIPT = places.ROOT / "run_experiment.py"
FAILED, INTERRUPTED = 1, 130
# A job: a training, then the further evaluations of its weights.
Job = list[Plan]
LOWER_IS_BETTER = ("mse",)
# What a further evaluation makes anew.
MADE_ANEW = ("evaluation.*", "figures", "saved_model", "tensorboard", "log.txt", LOCK)


def chosen_runs(
    names: Sequence[str], patterns: Sequence[str], seeds: int, preset: str
) -> list[list[Run]]:
    """The runs of tables, places of them (a domain, or 5way-1shot), and rows, by job.

    Raises:
      RunError: if there is no such table, or no such row in them.
    """
    known = {*rows.TABLES, *(place.key for table in rows.TABLES.values() for place in table.places)}
    if unknown := set(names) - known:
        raise RunError(f"{', '.join(sorted(unknown))}: choose from {', '.join(sorted(known))}")
    found = [
        training
        for name, table in rows.TABLES.items()
        for row, place, training in table.trainings()
        if {name, place.key} & set(names)
        and any(fnmatch.fnmatch(row.key, pattern) for pattern in patterns)
    ]
    if not found:
        raise RunError(f"--rows={','.join(patterns)}: no row of these tables; --list has them")
    return [
        [Run(training, seed, more, preset) for more in ("", *training.evaluations)]
        for seed in range(seeds)
        for training in found
    ]


def planned_job(runs: Sequence[Run], again: bool) -> Job:
    """What a training and its evaluations need. These are made of the run folder."""
    first, *others = runs
    evaluations = [plan.planned(run, again) for run in others]
    unkept = any(part.needs_command for part in evaluations)
    return [plan.planned(first, again, unkept), *evaluations]


def steps(job: Job) -> list[Step]:
    """The commands of a job."""
    made = []
    for part in job:
        if part.needs_command:
            command = [sys.executable, str(SCRIPT), *part.run.flags]
            log = part.run.folder.path.with_suffix(".log")
            source, target = job[0].run.folder.path, part.run.folder.path
            made.append(Step(_named(part.run), command, log, _copying(source, target)))
    return made


def _copying(source: Path, target: Path) -> Callable[[], None]:
    """Makes `target` a run of the weights in `source`, unless it is one."""

    def copy() -> None:
        if source != target and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            size = sum(file.stat().st_size for file in source.rglob("*"))
            with replacing(target, size) as partial:
                shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*MADE_ANEW))

    return copy


def _named(run: Run) -> str:
    return f"{run.training.domain}/{run.name}"


def remaining(jobs: Iterable[Job], num_slots: int, on_gpu: bool) -> str:
    """The time that jobs take, as text."""
    known = [[part.seconds(on_gpu) for part in job] for job in jobs]
    unknown = sum(None in job for job in known)
    total = plan.wall_time([sum(filter(None, job)) for job in known], num_slots)
    return time_text(total) + (f" and {unknown} of unknown length" if unknown else "")


def describe(jobs: Sequence[Job], num_slots: int, on_gpu: bool) -> str:
    """The plan, a line per run."""
    lines = []
    for part in (part for job in jobs for part in job):
        seconds = part.seconds(on_gpu)
        left = "unknown" if seconds is None else time_text(seconds)
        notes = [part.note] if part.note else []
        if part.needs_command:
            notes = [f"{part.done:,} of {part.iterations:,} iterations", f"{left} left", *notes]
        lines.append(f"{part.state:8}{_named(part.run)}" + "".join(f"  {note}" for note in notes))
        if part.needs_command:
            lines.append(f"        python run_experiment.py {' '.join(part.run.flags)}")
    time = remaining(jobs, num_slots, on_gpu)
    lines.append(f"training takes {time}, by the times of kept runs, {num_slots} at a time")
    return "\n".join(lines)


def execute(jobs: Sequence[Job], num_slots: int, on_gpu: bool) -> dict[str, str]:
    """Runs the commands; returns what failed. Raises KeyboardInterrupt once all have stopped."""
    by_name = {_named(part.run): part for job in jobs for part in job}
    commands = [made for job in jobs if (made := steps(job))]

    def progress(running: Sequence[str], num_ended: int, failed: Collection[str]) -> str:
        going = [[part.run for part in job if part.needs_command] for job in jobs]
        now = [
            [plan.planned(run, unkept=True) for run in job]
            for job in going
            if not {_named(run) for run in job} & set(failed)
        ]
        at = ", ".join(f"{name} {_progress(by_name[name])}" for name in running)
        ended = f"{num_ended} of {len(commands)} ended, {len(failed)} failed"
        return f"{ended}; {at}; {remaining(now, num_slots, on_gpu)} left"

    return run_all(commands, num_slots, places.ROOT, progress)


def _progress(part: Plan) -> str:
    held = plan.provenance.held(part.run.folder.provenance_file)
    done = held[-1]["iterations"] if held else part.done
    return f"{done:,}/{part.iterations:,}"


def keep(job_runs: Sequence[Run], is_best_packed: bool, again: bool) -> None:
    """Packs the weights of one seed of a row, and records the others.

    The weights that are packed already stay, as texts name them; if there are none, or with
    `is_best_packed`, they are the best seed's. A seed that replaces another's leaves it a record.

    Args:
      job_runs: what is trained, one per seed.
      is_best_packed: see above.
      again: whether a run may replace the kept one of its seed.
    """
    fresh = [run for run in job_runs if plan.planned(run, again).state is State.TRAINED]
    holders = [run for run in job_runs if run.kept.kept_iteration() is not None]
    if not fresh:
        return
    ranked = sorted(fresh if not is_best_packed else [*fresh, *holders], key=_rank)
    best = ranked[0] if is_best_packed or not holders else holders[0]
    for run in fresh:
        is_packed = run == best
        pack.pack(run.folder, run.name, record=not is_packed, force=again)
        if is_packed:  # its weights are evaluated where they are kept
            run.results.evaluation_file.unlink(missing_ok=True)
    for run in holders:
        if run != best and run not in fresh:
            shutil.rmtree(run.kept.checkpoints)


def _rank(run: Run) -> float:
    """Less is better: the error, or minus the score, after all steps; what diverged is worst."""
    folder = run.folder if run.folder.evaluation_file.exists() else run.results
    last = read_evaluation(folder.evaluation_file).query("mode == 'all'").iloc[-1]
    rank = last["mean"] if last["metric"] in LOWER_IS_BETTER else -last["mean"]
    return rank if math.isfinite(rank) else math.inf


def keep_all(jobs: Sequence[Job], is_best_packed: bool, again: bool) -> dict[str, str]:
    """Keeps what is trained, and writes tables and figures anew; returns what failed."""
    failed: dict[str, str] = {}
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for part in (part for job in jobs for part in job if part.state is not State.KEPT):
        run = part.run
        groups.setdefault((run.training.domain, run.training.label, run.evaluation), []).append(run)
    domains = set()
    for (domain, label, evaluation), own in groups.items():
        try:
            others = [dataclasses.replace(own[0], seed=seed) for seed in range(plan.MAX_SEEDS)]
            others = [run for run in others if run not in own and run.kept.is_run()]
            keep([*own, *others], is_best_packed, again)
            domains.add(domain)
        except (RunError, ConfigError, OSError) as error:
            failed["/".join(filter(None, [domain, label, evaluation]))] = str(error)
    try:
        if domains:
            regenerate.regenerate_all(sorted(domains))
    except (RunError, ConfigError, OSError) as error:
        failed["tables and figures"] = str(error)
    return failed


def report_quick(jobs: Sequence[Job]) -> None:
    """A report, per domain, on the runs of a preset that is not kept."""
    done: dict[str, list[RunFolder]] = {}
    for part in (part for job in jobs for part in job):
        if part.run.folder.evaluation_file.exists():
            done.setdefault(part.run.training.domain, []).append(part.run.folder)
    for folders in done.values():
        runs = []
        for folder in folders:
            config, registration = held_run(folder)
            label = folder.path.name.rpartition("-seed")[0]
            runs.append(ReportedRun(registration.build(config), folder, label=label))
        report(runs, folders[0].path.parent / "report")


def listing() -> str:
    """The tables with their rows and the seeds of which there are evaluations."""
    lines = []
    for name, table in rows.TABLES.items():
        lines.append(f"{name}: {', '.join(place.key for place in table.places)}")
        for row in table.rows:
            kept = [
                f"{place.key} {_seeds(training)}"
                for other, place, training in table.trainings()
                if other is row and _seeds(training)
            ]
            lines.append(f"  {row.key:24} {', '.join(kept)}")
    return "\n".join(lines)


def _seeds(training: Training) -> str:
    held = [
        seed
        for seed in range(plan.MAX_SEEDS)
        if Run(training, seed).results.evaluation_file.exists()
    ]
    return f"(seeds {', '.join(map(str, held))})" if held else ""


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return number


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", nargs="*", help="or a column of one: regression_2mode, 5way-1shot")
    parser.add_argument("--seeds", type=_positive, default=1, help="how many, from 0 on")
    parser.add_argument("--rows", default="*", help="of the tables, such as maml,mumomaml-*")
    parser.add_argument("--jobs", type=_positive, default=1, help="runs at a time")
    parser.add_argument("--list", action="store_true", help="name tables and rows")
    parser.add_argument("--dry_run", action="store_true", help="say what would be done")
    parser.add_argument(
        "--preset", default=plan.PAPER, choices=("paper", "quick"), help="quick: nothing is kept"
    )
    parser.add_argument(
        "--again", action="store_true", help="also what is kept, but short or of other settings"
    )
    parser.add_argument("--best", action="store_true", help="pack the best seed's weights")
    chosen = parser.parse_args(arguments)
    if not (chosen.table or chosen.list):
        parser.error("name a table, or --list them")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line, reproduces; returns the exit status."""
    chosen = _arguments(arguments)
    if chosen.list:
        print(listing())
        return 0
    import tensorflow as tf

    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    try:
        runs = chosen_runs(chosen.table, chosen.rows.split(","), chosen.seeds, chosen.preset)
        jobs = [planned_job(job, chosen.again) for job in runs]
        print(describe(jobs, chosen.jobs, on_gpu))
        if chosen.dry_run:
            return 0
        failed = execute(jobs, chosen.jobs, on_gpu)
        if chosen.preset == plan.PAPER:
            failed |= keep_all(jobs, chosen.best, chosen.again)
        else:
            report_quick(jobs)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on")
        return INTERRUPTED
    except (RunError, ConfigError, OSError) as error:
        print(f"reproduce: {error}", file=sys.stderr)
        return FAILED
    for name, why in failed.items():
        print(f"reproduce: {name} failed: {why}", file=sys.stderr)
    return FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
