"""The checkpoint that did best on validation tasks, kept beside those that runs resume from."""

import json
from pathlib import Path

import keras
from pydantic import FiniteFloat
from typing_extensions import TypedDict

from mmaml_tf.training.checkpoints import Checkpoints
from mmaml_tf.training.run_files import Count, RunFileError, read_json, write_atomically


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
        self.score_file = folder / "score.json"
        # Two, so that the old one is there until the new one is whole and its score written.
        # No training goes on from the best one, so it needs no optimizer.
        self._checkpoints = Checkpoints(folder, learner, max_to_keep=2, weights_only=True)

    def score(self) -> float | None:
        """The score of the checkpoint held; None if there is none.

        Raises:
          RunFileError: if it can't be read: any other checkpoint would replace the best one.
        """
        if not self.score_file.exists() or not self._checkpoints.saved_iterations():
            return None
        try:
            return read_json(self.score_file, _Score)["score"]
        except RunFileError as error:
            raise RunFileError(
                f"{error}. It says how good the checkpoint beside it is: write that there (of its "
                f"iteration metrics.csv has it), or move {self.score_file.parent} away"
            ) from error

    def offer(self, score: float) -> None:
        """Saves the learner instead of what is held, if its score is higher."""
        held = self.score()
        if held is not None and score <= held:
            return
        iteration = int(self._checkpoints.learner.optimizer.iterations)
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
        return self._checkpoints.restore()
