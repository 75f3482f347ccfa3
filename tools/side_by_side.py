"""Runs commands, several at a time; one that fails is reported and the others go on."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Seconds between looks at the processes.
POLL_EVERY = 0.2
# Between lines of progress, on a terminal and in a log file.
SAY_EVERY, LOG_EVERY = 2.0, 60.0


@dataclasses.dataclass(frozen=True)
class Step:
    """A command of a job.

    Attributes:
      name: for reports.
      command: to run.
      log: file that takes what it prints.
      prepare: is called before.
    """

    name: str
    command: Sequence[str]
    log: Path
    prepare: Callable[[], None] = lambda: None


class _Slot:
    """One of the places in which jobs run, with its share of the cores."""

    def __init__(self, cores: set[int], folder: Path):
        self.cores, self.folder = cores, folder
        self.steps: list[Step] = []
        self.process: subprocess.Popen | None = None

    def start_next(self) -> None:
        step = self.steps[0]
        step.prepare()
        step.log.parent.mkdir(parents=True, exist_ok=True)
        with step.log.open("a") as log:
            self.process = subprocess.Popen(
                step.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # On a GPU, each takes what it needs and leaves the rest.
                env=os.environ | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"},
                start_new_session=True,  # Ctrl-C is this program's, which tells them
                preexec_fn=lambda: os.sched_setaffinity(0, self.cores),
            )


def run_all(
    jobs: Sequence[Sequence[Step]],
    num_slots: int,
    folder: Path,
    progress: Callable[[Sequence[str], int, Collection[str]], str],
) -> dict[str, str]:
    """Runs all jobs, each step by step; returns what failed, and why, by the steps' names.

    Steps after one that failed are left out. Ctrl-C, or a polite kill, is passed on to the commands
    and waited for; another one ends them at once.

    Args:
      jobs: in order.
      num_slots: how many run at a time; they share the cores.
      folder: in which the commands run.
      progress: names of the running steps, number of jobs that have ended, names of the steps that
        failed -> a line to print.

    Raises:
      KeyboardInterrupt: when the commands have stopped.
    """
    cores = sorted(os.sched_getaffinity(0))
    shares = [set(cores[index % len(cores) :: num_slots]) for index in range(num_slots)]
    slots = [_Slot(share, folder) for share in shares]
    waiting, num_ended = list(jobs), 0
    failed: dict[str, str] = {}
    said = time.monotonic()
    with _interruptible():
        try:
            while waiting or any(slot.steps for slot in slots):
                for slot in slots:
                    if not slot.steps and waiting:
                        slot.steps = list(waiting.pop(0))
                    if not slot.steps:
                        continue
                    if slot.process is not None and (status := slot.process.poll()) is None:
                        continue
                    why = ""
                    if slot.process is not None:
                        step, slot.process = slot.steps.pop(0), None
                        why = "" if status == 0 else f"exit status {status}: {_last(step.log)}"
                    if not why and slot.steps:
                        step = slot.steps[0]
                        try:
                            slot.start_next()
                        except OSError as error:
                            why = str(error)
                    if why:
                        failed[step.name] = why
                        slot.steps = []
                        _say(f"{step.name} failed: {why}", end="\n")
                    num_ended += not slot.steps
                is_terminal = sys.stdout.isatty()
                if time.monotonic() - said >= (SAY_EVERY if is_terminal else LOG_EVERY):
                    said = time.monotonic()
                    running = [slot.steps[0].name for slot in slots if slot.steps]
                    _say(progress(running, num_ended, failed), end="\r" if is_terminal else "\n")
                time.sleep(POLL_EVERY)
        except BaseException:
            _stop([slot.process for slot in slots if slot.process is not None])
            raise
    return failed


@contextmanager
def _interruptible() -> Iterator[None]:
    """A polite kill is as Ctrl-C, which a background shell may have set to be ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _stop(processes: Sequence[subprocess.Popen]) -> None:
    """Lets them save and end; a second interrupt ends them at once."""
    _say("stopping; what runs saves first", end="\n")
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()


def _last(log: Path) -> str:
    """The last line that says something."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def _say(text: str, end: str) -> None:
    clear = "\x1b[2K" if sys.stdout.isatty() else ""
    print(f"{clear}{text}", end=end, flush=True)
