"""SavedModels in a process that has TensorFlow alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np

SERVE = """
import sys
import numpy as np
import tensorflow as tf

for name in sys.argv[1:]:
    model = tf.saved_model.load(name)
    inputs = {key: tf.constant(value) for key, value in np.load(f"{name}.in.npz").items()}
    outputs = model.signatures["serving_default"](**inputs)
    np.savez(f"{name}.out.npz", **{key: value.numpy() for key, value in outputs.items()})
assert not any(name.startswith("mmaml_tf") for name in sys.modules), "not alone"
"""


def served_alone(folder, inputs):
    """What the SavedModels in `folder` return in a process of its own.

    Args:
      folder: of the models.
      inputs: of each model, by its name.
    """
    for name, values in inputs.items():
        np.savez(Path(folder, f"{name}.in.npz"), **values)
    done = subprocess.run(
        [sys.executable, "-c", SERVE, *inputs], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {name: np.load(Path(folder, f"{name}.out.npz")) for name in inputs}
