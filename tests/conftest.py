"""Settings of every test: the CPU, the command's thread settings, and float64 on request."""

import functools
import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

from flags.common import FLAGS
from mmaml_tf.importing import no_collections

with no_collections():
    import keras
    import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)


@pytest.fixture(autouse=True)
def same_weights_in_every_run():
    """A difference quotient over a ReLU's kink is wrong, about once in a thousand weights."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def no_flags_stay():
    """Of a command that a test ran."""
    yield
    for name in FLAGS:
        FLAGS[name].unparse()


@pytest.fixture
def float64():
    """Keras layers made in the test compute in float64."""
    for name in ("float64", "float32"):
        keras.config.set_floatx(name)
        keras.config.set_dtype_policy(name)
        if name == "float64":
            yield


@pytest.fixture
def in_empty_folder(tmp_path, monkeypatch):
    """Where relative paths lead to, MuJoCo writes its log, and images are cached."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where a method's regression run of 10 iterations is; trains it when first asked."""
    from tests.runs import command, tiny_flags

    @functools.cache
    def folder_of(method):
        folder = tmp_path_factory.mktemp(method)
        flags = ["--domain=regression_2mode", *tiny_flags(method), "--iterations=10"]
        assert command(*flags, f"--output_dir={folder}") == 0
        return folder

    return folder_of


@pytest.fixture
def copied(trained, in_empty_folder):
    """Copies one of these runs into the empty folder."""

    def copy(path="run", method="maml"):
        return shutil.copytree(trained(method), in_empty_folder / path)

    return copy
