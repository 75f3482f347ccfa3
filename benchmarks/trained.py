"""A trained regression learner from its folder, for the scripts beside this one."""

import dataclasses
from pathlib import Path
from typing import Any

from flags.common import FLAGS
from mmaml_tf.errors import RunError
from mmaml_tf.meta_learners import MetaLearner
from mmaml_tf.regression.config import RegressionConfig
from mmaml_tf.regression.domain import RegressionDomain
from mmaml_tf.run_folder import RunFolder
from run_experiment import held_run, registered_domains


def trained_regression(path: str, **settings: Any) -> tuple[RegressionDomain, MetaLearner]:
    """The domain and the learner of a run.

    Args:
      path: the run's folder.
      settings: instead of the run's own; None keeps that.

    Raises:
      RunError: if there is no run, or it is of another domain.
    """
    FLAGS(["trained"])
    folder = RunFolder(Path(path))
    config, registration = held_run(registered_domains(), folder)
    if not isinstance(config, RegressionConfig):
        raise RunError(f"{folder.path} is a run of {config.domain}: give one of regression")
    given = {name: value for name, value in settings.items() if value is not None}
    domain = registration.build(dataclasses.replace(config, **given))
    learner = domain.build_learner()
    domain.restore(learner, folder)
    return domain, learner
