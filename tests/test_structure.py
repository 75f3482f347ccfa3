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


# Each imports only those before it, and its own files.
ORDER = [
    ["errors", "tasks", "registries", "importing"],
    ["methods", "encoders/__init__"],
    ["layers"],
    ["networks"],
    ["encoders"],
    ["serving"],
    ["learners/options"],
    ["config"],
    ["few_shot/config"],
    ["devices"],
    ["learners"],
    ["training"],
    ["reporting"],
    ["few_shot"],
    ["envs"],
    ["regression", "classification", "rl"],
]


def level(module):
    """Where a module of mmaml_tf stands in the order: by its file, else its folder."""
    for names in (module, module.split("/")[0]):
        for index, group in enumerate(ORDER):
            if names in group:
                return index
    raise AssertionError(f"mmaml_tf/{module} has no place in the order")


def imported_modules(path):
    """mmaml_tf's modules that a file imports, as paths, when it is loaded or later."""
    tree = ast.parse(path.read_text())
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in checking:
            continue
        package, *parts = (node.module or "").split(".")
        if package != "mmaml_tf":
            continue
        for alias in node.names:
            named = "/".join([*parts, alias.name])
            yield named if (PACKAGE / f"{named}.py").exists() else module_of("/".join(parts), alias)


def module_of(folder, alias):
    """The module that a name comes from: a folder's own file, a package, or a plain module."""
    if (PACKAGE / folder / alias.name).is_dir():
        return "/".join(filter(None, [folder, alias.name, "__init__"]))
    return f"{folder}/__init__" if (PACKAGE / folder).is_dir() else folder


PACKAGE = ROOT / "mmaml_tf"


def test_imports_point_downwards():
    for path in PACKAGE.rglob("*.py"):
        module = str(path.relative_to(PACKAGE).with_suffix(""))
        if module == "__init__" or (module.endswith("/__init__") and module != "encoders/__init__"):
            continue
        for other in imported_modules(path):
            if other.split("/")[0] == module.split("/")[0]:
                continue
            assert level(other) < level(module), f"{module} imports {other}"


def test_no_import_circles():
    """Not of whole folders, which the order above forbids, but of files within them."""
    graph = {
        str(path.relative_to(PACKAGE).with_suffix("")): set(imported_modules(path))
        for path in PACKAGE.rglob("*.py")
    }
    done, doing = set(), []

    def visit(module):
        if module in done:
            return
        assert module not in doing, " -> ".join([*doing[doing.index(module) :], module])
        doing.append(module)
        for other in graph.get(module, ()):
            visit(other)
        doing.pop()
        done.add(module)

    for module in graph:
        visit(module)


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
