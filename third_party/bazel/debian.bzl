"""What Debian's Bazel 4.2.3 needs to test this project offline. Loaded by WORKSPACE only."""

def _text_repository_impl(repository_ctx):
    for path, text in repository_ctx.attr.files.items():
        repository_ctx.file(path, text, executable = False)

_text_repository = repository_rule(
    implementation = _text_repository_impl,
    attrs = {"files": attr.string_dict(doc = "path -> contents")},
)

def _native_rules(folder, rules):
    return {
        folder + "/BUILD": "",
        folder + "/defs.bzl": "".join(["{0} = native.{0}\n".format(rule) for rule in rules]),
    }

def stand_ins():
    """Defines small repositories in place of those that Bazel would download.

    They have the real ones' names and labels. Bazel 4 still has all the rules built in, so loading
    a rule from one of them gives the native rule.
    """

    # For BUILD, which is written for the real ones (see MODULE.bazel). No packages in @pypi: the
    # interpreter of `venv_python` has them installed.
    _text_repository(
        name = "rules_python",
        files = _native_rules("python", ["py_binary", "py_library", "py_test"]),
    )
    _text_repository(
        name = "pypi",
        files = {
            "BUILD": "",
            "requirements.bzl": "all_requirements = []\n",
        },
    )

    # For Bazel itself: its C++ and Java toolchains, which it looks at before any build, load their
    # rules from these.
    _text_repository(
        name = "rules_cc",
        files = _native_rules("cc", [
            "cc_binary",
            "cc_library",
            "cc_test",
            "cc_toolchain",
            "cc_toolchain_suite",
        ]),
    )
    _text_repository(
        name = "rules_java",
        files = _native_rules("java", [
            "java_binary",
            "java_import",
            "java_library",
            "java_runtime",
            "java_toolchain",
        ]),
    )

    # Likewise: every test has this label among its inputs, though only `bazel coverage` uses it.
    _text_repository(
        name = "remote_coverage_tools",
        files = {"BUILD": """filegroup(
    name = "coverage_report_generator",
    visibility = ["//visibility:public"],
)
"""},
    )

# A script that looks when it runs, because Bazel does not run a repository rule again when .venv
# appears or goes away. It starts Python by the path in .venv, because that path is how Python knows
# that it is in a virtual environment.
_INTERPRETER = """#!/bin/sh
venv_python='{root}/.venv/bin/python3'
if [ -x "$venv_python" ]; then
  exec "$venv_python" "$@"
fi
exec python3 "$@"
"""

_TOOLCHAIN = """
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

py_runtime(
    name = "runtime",
    interpreter = "interpreter.sh",
    python_version = "PY3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

def _venv_python_impl(repository_ctx):
    root = repository_ctx.path(Label("//:WORKSPACE")).dirname
    repository_ctx.file("interpreter.sh", _INTERPRETER.format(root = root))
    repository_ctx.file("BUILD", _TOOLCHAIN, executable = False)

venv_python = repository_rule(
    implementation = _venv_python_impl,
    local = True,  # it names this checkout's path: never take it from a cache
    doc = "A Python toolchain: the interpreter of this checkout's .venv, else python3 from PATH.",
)
