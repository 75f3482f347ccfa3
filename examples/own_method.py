"""A method of one's own, through the ordinary command: BOIL (Oh et al., 2021, arXiv:2008.08882).

python examples/own_method.py --method=boil --domain=regression_2mode --preset=quick

"Body only in the inner loop": the gradient steps on a task change all layers but the last.
"""

import sys
from pathlib import Path
from typing import Any

import keras

sys.path.insert(0, str(Path(__file__).parent.parent))

import mmaml_tf as mm
import run_experiment


@mm.methods.register("boil", "regression", "classification")
class BOIL(mm.MAML):
    """MAML that adapts all layers but the last."""

    def __init__(self, model: keras.Model, **settings: Any):
        *body, _ = [layer.name for layer in model.layers if layer.trainable_variables]
        super().__init__(model, adapts=body, **settings)


if __name__ == "__main__":
    sys.exit(run_experiment.main())
