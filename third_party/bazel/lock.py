"""Writes requirements_lock.txt from requirements.txt, for MODULE.bazel.

Every requirement and all that it needs in turn, at the versions installed for the Python that runs
this:

    .venv/bin/python third_party/bazel/lock.py
"""

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).with_name("requirements_lock.txt")
REQUIREMENTS = LOCK.parents[2] / "requirements.txt"
HEADER = "# Written by lock.py (in this folder) from requirements.txt. Do not edit.\n"


def read(path: Path) -> list[Requirement]:
    """The requirements in a file and in those that it includes with -r."""
    requirements: list[Requirement] = []
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            requirements += read(path.parent / line[3:].strip())
        elif line and not line.startswith("-"):
            requirements.append(Requirement(line))
    return requirements


def resolve(requirements: list[Requirement]) -> dict[str, str]:
    """Name -> installed version, of the requirements and of everything they depend on."""
    versions: dict[str, str] = {}
    seen: set[str] = set()
    todo = list(requirements)
    while todo:
        requirement = todo.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        name = canonicalize_name(requirement.name)
        versions[name] = metadata.version(name)
        for text in metadata.requires(name) or []:
            dependency = Requirement(text)
            marker, dependency.marker = dependency.marker, None
            if marker is None or any(
                marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                todo.append(dependency)
    return versions


if __name__ == "__main__":
    locked = resolve([r for r in read(REQUIREMENTS) if r.marker is None or r.marker.evaluate()])
    LOCK.write_text(HEADER + "".join(f"{name}=={locked[name]}\n" for name in sorted(locked)))
