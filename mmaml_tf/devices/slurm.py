"""Prints the TF_CONFIG of a task of a Slurm job step: see `mmaml_tf.devices`."""

import json
import os
import sys

# Said to the resolver, which would share out GPUs as well; the command does that itself.
MANY = 1024


def tf_config() -> str:
    """What Slurm's variables say, by TensorFlow's own reading of them.

    Raises:
      RuntimeError: if one is missing.
    """
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=MANY, gpus_per_task=1, auto_set_gpu=False
    )
    jobs = resolver.cluster_spec().as_dict()
    kind, index = resolver.get_task_info()
    return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        print(tf_config())
    except RuntimeError as error:
        sys.exit(f"mmaml_tf.devices.slurm: {error}")
