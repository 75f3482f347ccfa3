"""A method of one's own, through the ordinary command: ANIL (Raghu et al., 2020, arXiv:1909.09157).

python examples/own_method.py --method=anil --domain=regression_2mode --preset=quick

"Almost no inner loop": the gradient steps on a task change the last layer only.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import mmaml_tf as mm
import run_experiment


class LastLayerOnly(mm.InnerLoop):
    """theta'_last = theta'_last - alpha grad L; what is before it stays theta."""

    def step(self, network: mm.TaskNetwork, fast: list, *args, **kwargs) -> tuple:
        """One step: theta'' and the losses before it."""
        adapted, losses = super().step(network, fast, *args, **kwargs)
        return [*fast[:-1], adapted[-1]], losses


@mm.methods.register("anil", "regression", "classification")
class ANIL(mm.MAML):
    """MAML that adapts the last layer."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.inner_loop = LastLayerOnly(**vars(self.inner_loop))


if __name__ == "__main__":
    sys.exit(run_experiment.main())
