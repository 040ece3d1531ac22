"""Print constraints for pip: the oldest version of each package that pyproject.toml promises to work with.

PyTorch stays at the version of constraints.txt: each of its versions needs a build for the machine.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def oldest_versions(pyproject: Path, constraints: Path) -> dict[str, str]:
    """Name -> version of every dependency that the tests need."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    versions = {}
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        name, bound, version = requirement.partition(">=")
        if not bound:
            raise SystemExit(f"{pyproject}: {requirement!r} has no lower bound; write NAME>=VERSION")
        versions[name] = version
    pinned = dict(line.split("==") for line in constraints.read_text(encoding="utf-8").split())
    return versions | {"torch": pinned["torch"]}


if __name__ == "__main__":
    for name, version in oldest_versions(ROOT / "pyproject.toml", ROOT / "constraints.txt").items():
        print(f"{name}=={version}")
