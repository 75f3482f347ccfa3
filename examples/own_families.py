"""Meta-learning on function families of one's own, through the ordinary command.

python examples/own_families.py --domain=steps_and_waves --preset=quick
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import tensorflow as tf

import run_experiment
from data.families import SINUSOID, Family
from data.priors import Uniform
from data.regression import MIXTURES, Mixture

STEP = Family(
    "step",
    lambda x, height, at: height * tf.sign(x - at),
    {"height": Uniform(1.0, 4.0), "at": Uniform(-3.0, 3.0)},
)
MIXTURES["steps_and_waves"] = Mixture([SINUSOID, STEP])

if __name__ == "__main__":
    sys.exit(run_experiment.main())
