"""Multimodal model-agnostic meta-learning in TensorFlow and Keras.

import mmaml_tf as mm

learner = mm.MuMoMAML(model, modulation="film", encoder="pairs", inner_steps=5, inner_lr=0.01)
learner.compile(optimizer="adam")
learner.fit(mm.tasks.from_function(sample, num_tasks=50, num_shots=5), steps_per_epoch=200)
learner.adapt(support_x, support_y).predict(query_x)
"""

import importlib
import os
import sys
from typing import Any

# The custom train steps are written with tf.GradientTape, so a user's global Keras setting for
# another backend must not reach them. It has to be set before Keras is first imported.
if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "tensorflow"
elif (backend := sys.modules["keras"].config.backend()) != "tensorflow":
    raise ImportError(
        f"mmaml_tf needs Keras on TensorFlow, and it runs on {backend}: set "
        "KERAS_BACKEND=tensorflow, or import mmaml_tf before keras"
    )

# Public names and where they are: imported when first used, so that errors and --help need not wait
# for what they do not use.
_NAMES = {
    "MAML": "learners.maml",
    "MultiMAML": "learners.multi_maml",
    "MuMoMAML": "learners.mumomaml",
    "ModulationOnly": "learners.modulation_only",
    "MetaSGD": "learners.meta_sgd",
    "ANIL": "learners.anil",
    "Context": "learners.context",
    "MAMLPlusPlus": "learners.maml_plus_plus",
    "Reptile": "learners.reptile",
    "ParameterAverage": "learners.parameter_average",
    "ProtoNet": "learners.protonet",
    "MatchingNetworks": "learners.matching",
    "InContext": "learners.in_context",
    "GradientBased": "learners.gradient_based",
    "MetaLearner": "learners.meta_learner",
    "InnerLoop": "learners.inner_loop",
    "TaskNetwork": "networks.task_network",
    "rule_for": "layers.rules",
    "Modulation": "layers.modulation",
    "AffineModulation": "layers.modulation",
    "Examples": "tasks",
    "TaskBatch": "tasks",
}
_MODULES = {
    "tasks": "tasks",
    "models": "networks.models",
    "losses": "learners.losses",
    "methods": "methods",
    "encoders": "encoders",
    "networks": "networks",
    "modulation": "layers.modulation",
}

__all__ = [*_NAMES, *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
