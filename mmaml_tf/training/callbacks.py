"""Keras callbacks of a training run: progress, metrics.csv, checkpoints, and stopping well."""

import math
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TextIO

import keras
import tensorflow as tf

from mmaml_tf.devices.workers import ALONE, Workers
from mmaml_tf.errors import InterruptedRunError, NonFiniteLossError
from mmaml_tf.training.best_checkpoint import BestCheckpoint
from mmaml_tf.training.checkpoints import Checkpoints
from mmaml_tf.training.run_folder import RunFolder

Logs = dict[str, Any]

# Where a line can't be rewritten, such as a log file, one is written this often (seconds).
PROGRESS_EVERY = 60.0


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends training at a loss that is not a finite number, before anything is saved."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Checks the running mean, which a single bad iteration makes non-finite.

        Raises:
          NonFiniteLossError: naming the iteration.
        """
        if not math.isfinite(float((logs or {})["loss"])):
            raise NonFiniteLossError(
                f"the loss is not finite at iteration {int(self.model.first_bad_iteration)}; the "
                f"last checkpoint before it is kept. {NonFiniteLossError.ADVICE}"
            )


class Validation(NamedTuple):
    """How a run picks the checkpoint that it is judged by.

    Attributes:
      name: what metrics.csv calls the score.
      score: measures the learner on validation tasks; more is better. The supervised domains' is a
        `tf.function`.
      over: the mean over so many validations decides, where a single one says little; metrics.csv
        calls it `recent_<name>`.
    """

    name: str
    score: Callable[[], float | tf.Tensor]
    over: int = 1


class KeepBest(keras.callbacks.Callback):
    """Validates after every logging interval and keeps the best checkpoint so far.

    The score joins the interval's other numbers, in metrics.csv as elsewhere.

    Args:
      folder: of the run; its metrics.csv has the earlier scores.
      learner: a built and compiled model.
      validation: how.
    """

    def __init__(self, folder: RunFolder, learner: keras.Model, validation: Validation):
        super().__init__()
        self.best = BestCheckpoint(folder.best_checkpoint, learner)
        self.folder = folder
        self.validation = validation

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Takes up the scores that a resumed run had.

        Raises:
          RunFileError: if the best one's can't be read.
        """
        self.best.score()
        name, _, over = self.validation
        self.scores = deque(self.folder.metrics.column(name), maxlen=over)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Validates."""
        name, measure, over = self.validation
        score = float(measure())
        self.scores.append(score)
        recent = sum(self.scores) / len(self.scores)
        if logs is not None:
            logs[name] = score
            if over > 1:
                logs[f"recent_{name}"] = recent
        self.best.offer(recent)


class Progress(keras.callbacks.Callback):
    """One line per logging interval: iteration, losses, speed and time left.

    Keras's own bar counts one `fit`, not the whole run, and fills log files with a line a call.

    Args:
      iterations: of the whole run.
      stream: where to print. In between a terminal's line is rewritten in place; elsewhere a long
        interval gets a line every minute.
    """

    def __init__(self, iterations: int, stream: TextIO | None = None):
        super().__init__()
        self.iterations = iterations
        self.stream = stream or sys.stdout
        self._start: tuple[float, int] | None = None
        self._printed = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Says that training goes on."""
        if self._start is None:
            # Speed is counted from the end of the first call, which includes compilation.
            self._start = (time.monotonic(), int(self.model.optimizer.iterations))
        if self.stream.isatty():
            self._print(logs or {}, end="\r")
        elif time.monotonic() - self._printed >= PROGRESS_EVERY:
            self._print(logs or {}, end="\n")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Completes the line."""
        self._print(logs or {}, end="\n")

    def _print(self, logs: Logs, end: str) -> None:
        self._printed = time.monotonic()
        done = int(self.model.optimizer.iterations)
        since, first = self._start or (time.monotonic(), done)
        speed = (done - first) / max(time.monotonic() - since, 1e-9)
        left = time_text((self.iterations - done) / speed) if done > first else "?"
        losses = "  ".join(f"{name} {float(value):.4f}" for name, value in logs.items())
        print(
            f"{done:>{len(str(self.iterations))}}/{self.iterations}  {losses}  "
            f"{speed_text(speed)}  ETA {left} ",
            end=end,
            file=self.stream,
            flush=True,
        )


class MetricsCsv(keras.callbacks.Callback):
    """One row of metrics.csv per logging interval: the means over its iterations."""

    def __init__(self, folder: RunFolder):
        super().__init__()
        self.folder = folder

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the interval's clock."""
        self._began = (time.monotonic(), int(self.model.optimizer.iterations))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Adds the row."""
        iteration = int(self.model.optimizer.iterations)
        began, first = self._began
        means = {name: float(value) for name, value in (logs or {}).items()}
        speed = (iteration - first) / (time.monotonic() - began)
        self.folder.metrics.append(
            {"iteration": iteration, **means, "iterations_per_second": round(speed, 2)}
        )


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves every `every` iterations, at the end of training, and before stopping on a signal.

    Ctrl-C (or SIGTERM, or the terminal's end) lets the current logging interval finish, so that a
    resumed run logs and ends exactly as an uninterrupted one; a second Ctrl-C stops at once. Of
    several workers the first one saves, and a signal to any stops all.
    """

    def __init__(self, checkpoints: Checkpoints, every: int, workers: Workers = ALONE):
        super().__init__()
        self.checkpoints = checkpoints
        self.every = every
        self.workers = workers
        self._last_saved = 0
        self._handlers: dict[int, Any] = {}
        self._signalled = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Saves the starting point: from here on a run without a checkpoint is a damaged one."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # under nohup the end of the terminal is no end of the run
            self._handlers[number] = signal.signal(number, self._on_signal)
        self._save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Saves where due.

        Raises:
          InterruptedRunError: after saving, if a signal came.
        """
        iteration = int(self.model.optimizer.iterations)
        stops = float(self.workers.mean(tf.constant(float(self._signalled)))) > 0
        if stops:
            self.workers.part()  # the others end while the first one saves
        if stops or iteration // self.every > self._last_saved // self.every:
            self._save()
        if stops:
            self.restore_handlers()
            raise InterruptedRunError(
                f"stopped and saved at iteration {iteration}; the same command goes on from there"
            )

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Saves the trained learner."""
        self._save()

    def _save(self) -> None:
        if self.workers.is_first:
            self.checkpoints.save()
        self._last_saved = int(self.model.optimizer.iterations)

    def restore_handlers(self) -> None:
        """Gives the signals back to whoever had them."""
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _on_signal(self, number: int, frame: object) -> None:
        self.restore_handlers()
        self._signalled = True
        print("\nstopping at the end of this logging interval ...", file=sys.stderr, flush=True)


def speed_text(per_second: float) -> str:
    """Iterations per second, or seconds per iteration where those are more."""
    if 0 < per_second < 1:
        return f"{1 / per_second:.1f} s/it"
    return f"{per_second:.1f} it/s"


def time_text(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
