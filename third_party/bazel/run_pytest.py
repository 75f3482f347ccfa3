"""Runs pytest as a Bazel test: pytest's arguments in, pytest's exit code out."""

import os
import sys

import pytest


def main(arguments: list[str]) -> int:
    """Runs pytest on the given files; returns its exit status."""
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

    code = pytest.main(["-p", "no:cacheprovider", *arguments])
    # A file with slow tests only has nothing to run by default.
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
