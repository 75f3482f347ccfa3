"""The project's domains at paper scale, for the scripts beside this one."""

from typing import Any

import numpy as np

import registry
from data.goals import GOALS
from data.omniglot import OmniglotTasks
from data.omniglot_characters import Characters
from data.regression import MIXTURES
from flags import omniglot_config
from mmaml_tf import envs
from mmaml_tf.classification.domain import ClassificationDomain
from mmaml_tf.regression import config as regression_config
from mmaml_tf.regression.domain import RegressionDomain
from mmaml_tf.rl import config as rl_config
from mmaml_tf.rl.domain import RlDomain


def regression(method: str, name: str = "regression_2mode", **settings: Any) -> RegressionDomain:
    """A mixture of function families, by its name."""
    mixture = MIXTURES[name]
    modes = tuple(mixture.mode_names)
    paper = regression_config.paper_settings(name, method, modes, mixture.defaults)
    return registry.find(name).build(regression_config.RegressionConfig(**(paper | settings)))


def omniglot(method: str, ways: int = 5, shots: int = 1, **settings: Any) -> ClassificationDomain:
    """Omniglot with random images, so that no data set is needed: they don't matter for speed."""
    images = np.random.default_rng(0).integers(0, 256, (1623, 20, 28, 28), np.uint8)
    characters = Characters(images, np.arange(1623).astype(str))
    paper = omniglot_config.paper_settings(method, num_ways=ways, num_shots=shots)
    config = omniglot_config.OmniglotConfig(**(paper | settings))
    return ClassificationDomain(config, OmniglotTasks(characters, 0, 1_100, 100, ways))


def cheetah_speed(method: str, **settings: Any) -> RlDomain:
    """Running at goal velocities."""
    goals = GOALS["cheetah_speed"]
    paper = rl_config.paper_settings("cheetah_speed", method, goals.mode_names)
    return RlDomain(rl_config.RlConfig(**(paper | settings)), envs.HALF_CHEETAH_SPEED, goals)
