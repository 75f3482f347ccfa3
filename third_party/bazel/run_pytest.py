"""Runs pytest as a Bazel test: pytest's arguments in, pytest's exit code out.

Each of Bazel's shards runs every so-manieth test file.
"""

import os
import sys
from pathlib import Path

import pytest


def of_this_shard(arguments: list[str]) -> list[str]:
    """The arguments with this shard's part of the files in them, or of all."""
    named = [argument for argument in arguments if argument.endswith(".py")]
    files = named or sorted(str(path) for path in Path("tests").rglob("test_*.py"))
    if status := os.environ.get("TEST_SHARD_STATUS_FILE"):
        Path(status).touch()  # or Bazel takes it that every shard runs all
    index = int(os.environ.get("TEST_SHARD_INDEX", 0))
    own = files[index :: int(os.environ.get("TEST_TOTAL_SHARDS", 1))]
    return [*(argument for argument in arguments if argument not in named), *own]


def main(arguments: list[str]) -> int:
    """Runs pytest; returns its exit status."""
    scratch = os.environ.get("TEST_TMPDIR")  # set by `bazel test`, not by `bazel run`
    if scratch:
        # In Bazel's sandbox the user's home is read-only, and the settings there (keras.json,
        # matplotlibrc) should not change a test's result.
        for variable in ("HOME", "KERAS_HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
            os.environ[variable] = scratch
        # But not TMPDIR: multiprocessing makes sockets there, and this path is too long for one.
        arguments = [f"--basetemp={scratch}/pytest", *arguments]
    # Defaults only: --test_env=CUDA_VISIBLE_DEVICES=0 has the last word.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("MPLBACKEND", "agg")
    # rules_python puts the packages on this process's sys.path only; a Python that a test starts
    # (run_experiment.py, say) needs them too.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)

    if report := os.environ.get("XML_OUTPUT_FILE"):
        arguments = [f"--junitxml={report}", *arguments]
    if test_filter := os.environ.get("TESTBRIDGE_TEST_ONLY"):  # bazel test --test_filter=...
        arguments = [*arguments, "-k", test_filter]

    arguments = of_this_shard(arguments)
    if not any(argument.endswith(".py") for argument in arguments):
        return 0  # more shards than files
    code = pytest.main(["-p", "no:cacheprovider", *arguments])
    # A file with slow tests only has nothing to run by default.
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
