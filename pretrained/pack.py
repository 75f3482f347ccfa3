"""Keeps a trained run's weights here, without what only training needs.

    python -m pretrained.pack runs/regression_2mode/maml/seed0 [another ...]

Each becomes pretrained/<domain>/<label>-seed<N>, or `name` if given as `run=name`:
config, metrics, provenance, and a checkpoint of the weights alone, which `--mode=evaluate
--checkpoint=` reads.
"""

import shutil
import sys
from pathlib import Path

from flags.common import FLAGS
from mmaml_tf import supervised
from mmaml_tf.checkpoints import Checkpoints
from mmaml_tf.run_folder import RunFolder
from run_experiment import held_run, registered_domains

ROOT = Path(__file__).resolve().parents[1]


def pack(source: RunFolder, name: str = "") -> Path:
    """Packs one run, replacing what was packed of it before; returns where."""
    config, registration = held_run(registered_domains(), source)
    learner = registration.build(config).build_learner()
    iteration = supervised.restore(learner, source)
    name = name or f"{config.label}-seed{config.seed}"
    target = RunFolder(ROOT / "pretrained" / config.domain / name)
    shutil.rmtree(target.path, ignore_errors=True)
    target.checkpoints.mkdir(parents=True)
    Checkpoints(target.checkpoints, learner, weights_only=True).save(iteration)
    for file in ("config_file", "metrics_file", "provenance_file"):
        if getattr(source, file).exists():
            shutil.copy(getattr(source, file), getattr(target, file))
    return target.path


if __name__ == "__main__":
    FLAGS(sys.argv[:1])
    for argument in sys.argv[1:]:
        path, _, name = argument.partition("=")
        print(pack(RunFolder(path), name).relative_to(ROOT))
