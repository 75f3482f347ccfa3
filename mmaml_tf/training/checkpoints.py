"""Checkpoints of a training run: saved by iteration, restored from the newest good one."""

import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from mmaml_tf.errors import NonFiniteLossError, RunError, reason
from mmaml_tf.training import checkpoint_format
from mmaml_tf.training.run_folder import checkpoint_files, saved_iterations
from mmaml_tf.training.storage import unused, writing

# Of a file that may be good; what else goes wrong is damage.
UNREADABLE = (
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)


class Checkpoints:
    """Saves and restores a learner with its optimizer, as `ckpt-<iteration>`.

    What exists is read off the files themselves. `tf.train.CheckpointManager` trusts an index
    file instead, whose loss would look like a run that never saved anything.

    Args:
      folder: where the checkpoint files are.
      learner: a built and compiled model; its optimizer must be built too, so that a restore
        finds every variable at once.
      max_to_keep: older ones are deleted.
      weights_only: leave the optimizer out: saves smaller files, and restores from either kind.

    Raises:
      RunError: for a folder whose name TensorFlow can't look up.
    """

    def __init__(
        self,
        folder: Path,
        learner: keras.Model,
        max_to_keep: int = 3,
        weights_only: bool = False,
    ):
        if wild := set("*?[") & set(str(folder)):
            raise RunError(
                f"{folder}: TensorFlow finds no checkpoint in a path with {min(wild)}, which it "
                "takes for a pattern: give the folder another name"
            )
        self.folder = folder
        self.learner = learner
        self.max_to_keep = max_to_keep
        self.weights_only = weights_only
        # By themselves, since TensorFlow sees no layers that a Keras layer holds in a list.
        parts = {"weights": [variable.value for variable in learner.trainable_variables]}
        if not weights_only:
            parts |= {"learner": learner, "optimizer": learner.optimizer}
        self._checkpoint = tf.train.Checkpoint(**parts)

    def save(self, iteration: int | None = None) -> None:
        """Saves the state after the optimizer's current iteration (or as `iteration`), and prunes.

        Raises:
          NonFiniteLossError: if a weight is not finite; the earlier checkpoints stay.
        """
        if iteration is None:
            iteration = int(self.learner.optimizer.iterations)
        for variable in self.learner.trainable_variables:
            if not np.all(np.isfinite(variable.numpy())):
                raise NonFiniteLossError(
                    f"{variable.path} is not finite after iteration {iteration}; the checkpoint "
                    f"before it is kept. {NonFiniteLossError.ADVICE}"
                )
        if not self._is_whole(iteration):
            prefix = self.folder / f"ckpt-{iteration}"
            # The optimizer has two numbers more for each weight.
            share = 1 if self.weights_only else 3
            num_bytes = share * sum(
                v.value.numpy().nbytes for v in self.learner.trainable_variables
            )
            try:
                with writing(prefix, num_bytes):
                    self._checkpoint.write(str(prefix))
            except BaseException:
                self.delete(iteration)
                self.remove_unfinished()
                raise
        for old in self.saved_iterations()[self.max_to_keep :]:
            self.delete(old)

    def delete(self, iteration: int) -> None:
        """Deletes the checkpoint of an iteration."""
        for path in checkpoint_files(self.folder, iteration):
            path.unlink()

    def _is_whole(self, iteration: int) -> bool:
        """Whether its index and its data are there."""
        files = checkpoint_files(self.folder, iteration)
        return {path.suffix == ".index" for path in files} == {True, False}

    def remove_unfinished(self) -> None:
        """Deletes what a process that was killed while it saved has left."""
        for path in self.folder.rglob("ckpt-*_temp"):  # of the best one, too, in a folder within
            if path.is_dir():
                shutil.rmtree(path)

    def restore(self, sets_aside: bool = True) -> int | None:
        """Restores the newest checkpoint that is not damaged.

        Args:
          sets_aside: rename the damaged ones, as what goes on from there does; reading the weights
            alone never does.

        Returns:
          The iteration it was saved at, or None if nothing was ever saved.

        Raises:
          RunError: if all are damaged, or the newest that is not is of another network, or has the
            weights alone and the optimizer is wanted; nothing is renamed then.
        """
        damaged = []
        for iteration in self.saved_iterations():
            prefix = self.folder / f"ckpt-{iteration}"
            try:
                if checkpoint_format.is_older(self.learner, prefix):
                    if not self.weights_only:
                        raise RunError(
                            f"{prefix} is of an earlier version: it can be evaluated and "
                            "exported, but training can't go on from it"
                        )
                    checkpoint_format.restore_older(self.learner, prefix)
                    return iteration
                status = self._checkpoint.read(str(prefix))
                if self.weights_only:
                    status.assert_existing_objects_matched().expect_partial()
                else:
                    status.assert_consumed()
            except UNREADABLE as error:
                raise RunError(f"{prefix} can't be read: {reason(error)}") from error
            except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
                if (problem := self._of_another_network(prefix)) is not None:
                    raise RunError(f"{prefix} is of another network: {problem}") from error
                if not self.weights_only and has_weights_alone(prefix):
                    raise RunError(
                        f"{prefix} has the weights alone: it can be evaluated and exported, but "
                        "training can't go on from it"
                    ) from error
                logging.warning(
                    "%s is damaged (%s); trying the one before it", prefix, reason(error)
                )
                damaged.append(iteration)
                continue
            if (
                not self.weights_only
                and (held := int(self.learner.optimizer.iterations)) != iteration
            ):
                raise RunError(f"{prefix} is of iteration {held}: give it its name back")
            if sets_aside and not self.weights_only:
                for path in (p for i in damaged for p in checkpoint_files(self.folder, i)):
                    path.rename(unused(path, "damaged"))
            return iteration
        if damaged:
            names = ", ".join(f"ckpt-{iteration}" for iteration in damaged)
            raise RunError(
                f"every checkpoint in {self.folder} is damaged ({names}): put back a copy, or "
                "--overwrite to start over"
            )
        return None

    def _of_another_network(self, prefix: Path) -> str | None:
        """The first weight that differs in shape, in words; None if all agree."""
        shapes = _saved_shapes(prefix)
        variables = self.learner.trainable_variables
        saved = [shapes[n] for n in map(_weight_name, range(len(shapes))) if n in shapes]
        if not saved:
            return None
        if len(saved) != len(variables):
            return f"it has {len(saved)} weights, this one {len(variables)}"
        for variable, shape in zip(variables, saved, strict=True):
            if tuple(shape) != tuple(variable.shape):
                return f"{variable.path} is {list(shape)} there, {list(variable.shape)} here"
        return None

    def saved_iterations(self) -> list[int]:
        """Iterations of which there is a file, newest first."""
        return saved_iterations(self.folder)


def has_weights_alone(prefix: Path) -> bool:
    """Whether a checkpoint can be evaluated, but not trained on."""
    names = _saved_shapes(prefix)
    return any(n.startswith("weights/") for n in names) and not any("optimizer" in n for n in names)


def _saved_shapes(prefix: Path) -> dict[str, list[int]]:
    """What a checkpoint holds, by name; nothing if it can't be read."""
    try:
        return dict(tf.train.list_variables(str(prefix)))
    except (tf.errors.OpError, ValueError, IndexError):
        return {}


def _weight_name(index: int) -> str:
    return checkpoint_format.KEY.format(index)
