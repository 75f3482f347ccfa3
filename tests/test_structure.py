"""The direction of imports, and the repository's own promises."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imported_roots(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("mmaml_tf", {"flags", "data", "run_experiment"}),
        ("data", {"flags", "run_experiment"}),
        ("flags", {"data", "run_experiment", "tensorflow"}),
    ],
)
def test_import_direction(folder, forbidden):
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        assert not forbidden & set(imported_roots(path)), path


def test_data_uses_only_the_shared_types_of_mmaml_tf():
    for path in (ROOT / "data").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("mmaml_tf"):
                assert node.module.split(".")[1] in {"tasks", "config", "errors"}, path


def test_flags_are_read_in_the_command_only():
    for path in (ROOT / "mmaml_tf").rglob("*.py"):
        assert not re.search(r"\bFLAGS\b", path.read_text()), path


def test_requirements_are_pinned_and_locked():
    direct = (ROOT / "requirements.txt").read_text()
    lock = (ROOT / "third_party" / "bazel" / "requirements_lock.txt").read_text().lower()
    lines = [line.split("#")[0].strip() for line in direct.splitlines()]
    for line in filter(None, lines):
        assert re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line), line
        name, version = re.sub(r"\[\w+\]", "", line).lower().split("==")
        assert f"{name.replace('_', '-')}=={version}" in lock.replace("_", "-"), line
