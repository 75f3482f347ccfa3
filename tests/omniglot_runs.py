"""Tiny Omniglot runs that the tests train through the library."""

import registry
from flags.omniglot_config import OmniglotConfig, paper_settings
from mmaml_tf.training.run_folder import RunFolder
from tests.runs import as_flags

TINY = dict(
    iterations=2,
    meta_batch_size=3,
    log_every=1,
    checkpoint_every=1,
    eval_tasks=7,
    validation_tasks=4,
    num_ways=3,
    train_characters=5,
    validation_characters=3,
    filters=(4, 4),
    encoder_filters=(2, 2),
    embedding_units=4,
    head_initializer="glorot_uniform",  # with zeros modulation would do nothing yet
)


def tiny_flags(method="mumomaml"):
    """An Omniglot run that trains in seconds."""
    return as_flags(OmniglotConfig, TINY, method)


def tiny_domain(data_dir, method="mumomaml", **settings):
    chosen = paper_settings(method) | TINY | dict(data_dir=str(data_dir)) | settings
    return registry.find("omniglot").build(OmniglotConfig(**OmniglotConfig.for_method(chosen)))


def train(data_dir, folder, **settings):
    domain = tiny_domain(data_dir, **settings)
    learner = domain.build_learner()
    folder = RunFolder(folder)
    with folder.claimed(domain.config):
        domain.train(learner, folder)
    return learner, folder
