"""Starts run_experiment.py for `bazel run`, in the folder where the user typed the command.

Bazel starts a program among its own files, where the relative paths of the flags (the default
--output_dir, say) would land out of the user's sight.
"""

import os
import runpy
import sys

if __name__ == "__main__":
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.argv[0] = os.path.join(root, "run_experiment.py")
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    runpy.run_path(sys.argv[0], run_name="__main__")
