"""The checkpoint that did best on validation tasks, kept beside those that runs resume from."""

import json
from pathlib import Path

import keras
from pydantic import FiniteFloat
from typing_extensions import TypedDict

from mmaml_tf.errors import RunError
from mmaml_tf.training.checkpoints import Checkpoints
from mmaml_tf.training.run_files import Count, RunFileError, read_json, write_atomically
from mmaml_tf.training.run_folder import SCORE, saved_iterations


class _Score(TypedDict):
    """What score.json says of the checkpoint beside it."""

    iteration: Count
    score: FiniteFloat


class BestCheckpoint:
    """One checkpoint and its validation score, in a folder of their own.

    Keras's ModelCheckpoint forgets, when a run goes on, how good the best one was.

    Args:
      folder: where they are.
      learner: a built and compiled model.
    """

    def __init__(self, folder: Path, learner: keras.Model):
        self.score_file = folder / SCORE
        # Two, so that the old one is there until the new one is whole and its score written.
        # No training goes on from the best one, so it needs no optimizer.
        self._checkpoints = Checkpoints(folder, learner, max_to_keep=2, weights_only=True)

    def score(self) -> float | None:
        """The score of the checkpoint held; None if there is none.

        Raises:
          RunFileError: if it can't be read, or is of another one: any checkpoint would replace the
            best one, or none ever.
        """
        held = self._checkpoints.saved_iterations()
        if not held:
            return None
        try:
            if not self.score_file.exists():
                # A process that was killed before it wrote the first score trains that anew.
                if held[-1] > max(saved_iterations(self.score_file.parents[1]), default=-1):
                    return None
                raise RunFileError(f"{self.score_file} is gone")
            kept = read_json(self.score_file, _Score)
            if kept["iteration"] not in held:
                raise RunFileError(
                    f"{self.score_file} is of iteration {kept['iteration']}, not {held[0]}"
                )
            return kept["score"]
        except RunFileError as error:
            raise RunFileError(
                f"{error}. It is the score of the best checkpoint: write it again (metrics.csv has "
                f"that of its iteration), or move {self.score_file.parent} away to start a new best"
            ) from error

    def offer(self, score: float) -> None:
        """Saves the learner instead of what is held, if its score is higher."""
        held = self.score()
        if held is not None and score <= held:
            return
        iteration = int(self._checkpoints.learner.optimizer.iterations)
        # What a process that was killed while it saved this one has left may be half of it.
        self._checkpoints.delete(iteration)
        self._checkpoints.save()
        content = json.dumps({"iteration": iteration, "score": score})
        write_atomically(self.score_file, content + "\n")
        for other in set(self._checkpoints.saved_iterations()) - {iteration}:
            self._checkpoints.delete(other)

    def restore(self) -> int | None:
        """Restores the learner; returns the iteration it was saved at, None if none was saved.

        Raises:
          RunError: if it is damaged.
        """
        try:
            return self._checkpoints.restore()
        except RunError as error:
            folder = self.score_file.parent
            raise RunError(f"{error}; if {folder} is moved away, the newest one counts") from error
