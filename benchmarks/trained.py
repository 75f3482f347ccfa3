"""A trained learner from its folder, for the scripts beside this one."""

import dataclasses
from pathlib import Path
from typing import Any

from mmaml_tf.config import ConfigError, RunConfig
from mmaml_tf.errors import RunError
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.training import fit
from mmaml_tf.training.run_folder import RunFolder
from registry import held_run


def trained(path: str, kind: type[RunConfig], **settings: Any) -> tuple[Any, MetaLearner]:
    """The domain and the learner of a run; ends the script with a line where there is none.

    Args:
      path: the run's folder.
      kind: of run that the script is for.
      settings: instead of the run's own; None keeps that.
    """
    folder = RunFolder(Path(path))
    try:
        config, registration = held_run(folder)
        if not isinstance(config, kind):
            raise RunError(f"{folder.path} is a run of {config.domain}, which this is not for")
        given = {name: value for name, value in settings.items() if value is not None}
        domain = registration.build(dataclasses.replace(config, **given))
        learner = domain.build_learner()
        fit.restore(learner, folder)
    except (RunError, ConfigError) as error:
        raise SystemExit(str(error)) from None
    return domain, learner
