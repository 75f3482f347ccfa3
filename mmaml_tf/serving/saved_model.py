"""Writes SavedModels: they load and run with TensorFlow alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


def save(variables: Sequence[keras.Variable], signatures: Mapping[str, Any], path: Path) -> None:
    """Saves concrete functions, by their names, and the variables that they read."""
    module = tf.Module()
    module.learner_variables = [variable.value for variable in variables]
    tf.saved_model.save(module, str(path), signatures=dict(signatures))
