"""Task encoders: from what is seen of a task to its embedding v, one file each.

An encoder is a Keras layer. In supervised domains it is called with a support set, x [tasks, K,
...] and y [tasks, K, ...], in reinforcement learning with trajectories (`tasks.Rollouts`); it
returns v [tasks, v_dim]. Adding one is one file: a class with

    @register("mine", "regression")

whose first argument is its width (for images: channels and width), with a default for the library;
`--encoder=mine` selects it. Free of TensorFlow.
"""

from typing import Any

from mmaml_tf.registries import Registry

ENCODERS: Registry[Any] = Registry(
    {
        "regression": ("mmaml_tf.encoders.lstm", "mmaml_tf.encoders.pairs"),
        "classification": ("mmaml_tf.encoders.images", "mmaml_tf.encoders.labelled_images"),
        "rl": ("mmaml_tf.encoders.moments", "mmaml_tf.encoders.gru"),
    }
)
register, of = ENCODERS.register, ENCODERS.of
