"""How meta-steps are computed: as the device at hand asks for, unless a setting says otherwise.

On a GPU all tasks at once, compiled by XLA: the many small operations of a few-shot meta-step are
fused there. On a CPU XLA costs more than it brings, and convolutions by each task's own kernels run
faster one task after the other (benchmarks/conv_step.py).
"""

from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.devices.cores import num_cores


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU that it may use."""
    return bool(tf.config.get_visible_devices("GPU"))


def compiles(setting: bool | str) -> bool:
    """Whether XLA compiles; the setting is True, False or "auto"."""
    return has_gpu() if setting == "auto" else setting is True


def maps_tasks(setting: str, learner: Any, adapts: bool) -> bool:
    """Whether tasks are computed one after the other; the setting is of TASK_BATCHINGS, and
    `adapts` says whether each has weights of its own."""
    if setting != "auto":
        return setting == "map"
    if has_gpu() or not adapts:
        return False
    # Kernels of convolutions have four axes.
    layers = learner.network.plan.adapting
    return any(len(weight.shape) == 4 for layer in layers for weight in layer.weights)


def device() -> str:
    """The first GPU's name, or how many cores there are."""
    for gpu in tf.config.get_visible_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        return details.get("device_name", "GPU")
    return f"CPU, {num_cores()} core{'s' * (num_cores() != 1)}"


def described(learner: keras.Model) -> str:
    """One line on where and how a learner's meta-steps are computed."""
    if not hasattr(learner, "map_tasks"):
        return f"{device()}: policies beside their environments, all tasks at once"
    tasks = "one task after the other" if learner.map_tasks else "all tasks at once"
    return f"{device()}: {tasks}, {'compiled by' if learner.jit_compile else 'without'} XLA"
