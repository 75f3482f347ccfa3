"""A SavedModel in a process that has TensorFlow alone."""

import subprocess
import sys
import textwrap

import numpy as np

SERVE = """
import sys
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
inputs = {name: tf.constant(value) for name, value in np.load(sys.argv[2]).items()}
outputs = model.signatures["serving_default"](**inputs)
np.savez(sys.argv[3], **{name: value.numpy() for name, value in outputs.items()})
assert not any(name.startswith("mmaml_tf") for name in sys.modules), "not alone"
"""


def served_alone(folder, **inputs):
    """What the SavedModel in folder/model returns in a process of its own."""
    np.savez(folder / "in.npz", **inputs)
    script = folder / "serve.py"
    script.write_text(textwrap.dedent(SERVE))
    arguments = [str(folder / name) for name in ("model", "in.npz", "out.npz")]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return np.load(folder / "out.npz")
