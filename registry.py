"""The domains by name: the config and flags of each, its tasks, and what is built of them.

A mixture of function families put into `data.regression.MIXTURES` is a regression domain by that,
an environment put into `data.reinforcement.DOMAINS` one of reinforcement learning; anything else is
made one by `register`.
"""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import flags.image_sets
import flags.omniglot
import flags.regression
import flags.rl
from mmaml_tf.config import ConfigError, RunConfig, shown
from mmaml_tf.errors import RunError
from mmaml_tf.training.run_folder import RunFolder


@dataclass(frozen=True)
class Registration:
    """A domain.

    Attributes:
      config: (domain, method, preset) -> the config that the flags ask for.
      config_type: whose fields are its settings.
      domain: config -> `mmaml_tf.reporting.domain.Domain`.
      intra_op_threads: that share one TensorFlow operation; 0 for one per core. The many small
        operations of a few-shot meta-step run fastest side by side, one thread each
        (benchmarks/conv_step.py), the large ones of reinforcement learning one by one on all cores
        (rl_iteration.py). Where there is a GPU, TensorFlow decides.
      uses_gpu: whether a GPU is of use.
      modes: names of its tasks' modes, where a run's config has them as `modes`; else None.
    """

    config: Callable[[str, str, str], RunConfig]
    config_type: type[RunConfig]
    domain: Callable
    intra_op_threads: int = 1
    uses_gpu: bool = True
    modes: tuple[str, ...] | None = None

    def build(self, config: RunConfig) -> Any:
        """The domain of a run, with TensorFlow set up for it."""
        self.set_up()
        return self.domain(config)

    def set_up(self) -> None:
        """Tells TensorFlow what of the machine to use."""
        import tensorflow as tf

        # Too late if this process has computed before: it keeps what it has then.
        with contextlib.suppress(RuntimeError):
            if not self.uses_gpu:
                tf.config.set_visible_devices([], "GPU")
            if not tf.config.get_visible_devices("GPU"):
                tf.config.threading.set_intra_op_parallelism_threads(self.intra_op_threads)


# A user's own, and whoever's that is not below.
_REGISTERED: dict[str, Registration] = {}


def domains() -> dict[str, Registration]:
    """All domains, by name. Imports TensorFlow, so not before the flags are parsed."""
    from data.image_tasks import ImageSetTasks
    from data.omniglot import OmniglotTasks
    from data.regression import MIXTURES, Mixture
    from data.reinforcement import DOMAINS, Reinforcement
    from flags.image_sets_config import ImageSetsConfig
    from flags.omniglot_config import OmniglotConfig
    from mmaml_tf.regression.domain import RegressionConfig, RegressionDomain
    from mmaml_tf.rl.config import RlConfig

    def regression(mixture: Mixture) -> Registration:
        modes = tuple(mixture.mode_names)
        return Registration(
            config=functools.partial(flags.regression.config, modes, mixture.defaults),
            config_type=RegressionConfig,
            domain=lambda config: RegressionDomain(
                config, replace(mixture, noise_stddev=config.noise_stddev)
            ),
            modes=modes,
        )

    def omniglot(config: OmniglotConfig) -> Any:
        from mmaml_tf.classification.domain import ClassificationDomain

        tasks = OmniglotTasks.load(
            config.data_dir,
            config.split_seed,
            config.train_characters,
            config.validation_characters,
            config.num_ways,
        )
        return ClassificationDomain(config, tasks)

    def image_sets(config: ImageSetsConfig) -> Any:
        from mmaml_tf.classification.domain import ClassificationDomain

        images = max(
            config.num_shots + config.num_queries,
            max(config.num_shots, config.shots_at_evaluation) + config.eval_queries,
        )
        tasks = ImageSetTasks.load(
            config.image_sets,
            config.image_size,
            config.split_seed,
            config.num_ways,
            images,
            config.rotated_sets,
        )
        return ClassificationDomain(config, tasks)

    def reinforcement(own: Reinforcement) -> Registration:
        def build(config: RlConfig) -> Any:
            from mmaml_tf.rl.domain import RlDomain

            env_id = own.environments[config.reward]
            return RlDomain(config, env_id, own.goals, own.vectorization)

        return Registration(
            config=functools.partial(
                flags.rl.config, own.goals.mode_names, [*own.environments], own.settings_of
            ),
            config_type=RlConfig,
            domain=build,
            intra_op_threads=0,
            uses_gpu=False,  # policies act step by step beside their environments
            modes=tuple(own.goals.mode_names),
        )

    return {
        **{name: regression(mixture) for name, mixture in MIXTURES.items()},
        "omniglot": Registration(
            config=flags.omniglot.config,
            config_type=OmniglotConfig,
            domain=omniglot,
        ),
        "image_sets": Registration(
            config=flags.image_sets.config,
            config_type=ImageSetsConfig,
            domain=image_sets,
        ),
        **{name: reinforcement(own) for name, own in DOMAINS.items()},
        **_REGISTERED,
    }


def register(name: str, registration: Registration) -> None:
    """Makes a domain known to the command and the tools."""
    _REGISTERED[name] = registration


def find(name: str | None) -> Registration:
    """The registration of a domain.

    Raises:
      ConfigError: if there is none.
    """
    known = domains()
    if name not in known:
        raise ConfigError("domain", name or "", f"choose from {', '.join(known)}")
    return known[name]


def held_run(folder: RunFolder) -> tuple[RunConfig, Registration]:
    """A trained run's config, read from its folder, and its domain.

    Raises:
      RunError: if the folder holds none, or one of a domain that is not known here, or of other
        modes than the domain has, whose numbers would get these names.
    """
    try:
        registration = find(folder.domain())
    except ConfigError as error:
        raise RunError(f"{folder.config_file}: {error}") from error
    config = folder.config(registration.config_type)
    own = vars(config).get("modes")
    if registration.modes is not None and own != registration.modes:
        raise RunError(
            f"{folder.config_file}: modes are {shown(own)}, but those of "
            f"--domain={config.domain} are {shown(registration.modes)}"
        )
    return config, registration
