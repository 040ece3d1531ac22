"""The packages in the order that ARCHITECTURE.md gives: each imports from those above its own line alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import mmtoolkit

ROOT = Path(__file__).parents[2]
CORE = ROOT / "mmtoolkit"
BUILT_IN = {"architectures", "likelihoods", "priors", "models", "sources", "evaluators", "watchers"}
OPEN = {"base", "core", "tables", "components", "figures", "priors", "architectures", "likelihoods"}
"""The packages that built-in components may use, beside their own."""


def lines_of_packages() -> list[list[str]]:
    """The packages of each line of the picture, from the top down."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    picture = re.search(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert picture
    return [re.findall(r"(\w+)/", re.match(r"(\w+/ *)*", line)[0]) for line in picture[1].splitlines()]  # type: ignore[index]


PLACE = {package: place for place, line in enumerate(lines_of_packages()) for package in line}


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module of the library."""
    files = {}
    for path in sorted(CORE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


MODULES = modules()


def imports(path: Path) -> set[str]:
    """The modules that a file imports: in functions too, and for type checkers alone; ours down to the module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names |= {path if path in MODULES else str(node.module) for path in inner.values()}
    return names


@pytest.fixture(scope="module")
def ours() -> dict[str, set[str]]:
    """Module -> the modules of the library that it imports."""
    return {
        name: {imported for imported in imports(path) if imported.split(".")[0] == "mmtoolkit"}
        for name, path in MODULES.items()
        if name != "mmtoolkit"
    }


def package(module: str) -> str:
    """The package of the library that a module belongs to."""
    return module.split(".")[1]


def test_the_top_holds_packages_and_three_files() -> None:
    entries = {path for path in CORE.iterdir() if path.name != "__pycache__"}
    assert {path.name for path in entries if path.is_file()} == {"__init__.py", "__main__.py", "py.typed"}
    assert {path.name for path in entries if path.is_dir()} == set(PLACE)


def test_imports_are_from_the_same_package_or_from_a_line_above(ours: dict[str, set[str]]) -> None:
    library = {name: imported for name, imported in ours.items() if name != "mmtoolkit.__main__"}
    assert [name for name, imported in library.items() if "mmtoolkit" in imported] == []
    others = [(name, i) for name, imported in library.items() for i in imported if package(i) != package(name)]
    assert [(name, i) for name, i in others if PLACE[package(i)] >= PLACE[package(name)]] == []


def test_built_in_components_import_what_a_stranger_may(ours: dict[str, set[str]]) -> None:
    built_in = {name: imported for name, imported in ours.items() if package(name) in BUILT_IN}
    assert len({package(name) for name in built_in}) == len(BUILT_IN)
    pairs = [(name, i) for name, imported in built_in.items() for i in imported]
    assert [(name, i) for name, i in pairs if package(i) not in OPEN | {package(name)}] == []


@pytest.mark.slow
def test_the_library_imports_no_plugin() -> None:
    pairs = [(name, imported) for name, path in MODULES.items() for imported in imports(path)]
    assert [(name, imported) for name, imported in pairs if imported.startswith("mmt_")] == []


def test_modules_do_not_import_each_other(ours: dict[str, set[str]]) -> None:
    graph = {
        name: {i for i in imported if i in MODULES and not name.startswith(f"{i}.")} for name, imported in ours.items()
    }
    tuple(TopologicalSorter(graph).static_order())  # raises where there is a circle


def test_our_plugins_import_from_the_top_alone() -> None:
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        ours = {imported for imported in imports(path) if imported.split(".")[0] == "mmtoolkit"}
        assert ours <= {"mmtoolkit"} | ({"mmtoolkit.testing"} if path.parent.name == "tests" else set()), path


def test_packages_are_the_folders_on_disk() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts): path.parent
        for root in (CORE, ROOT / "plugins", ROOT / "registry")
        for path in root.rglob("__init__.py")
    }
    expected = {
        name.removeprefix("plugins.") if name != "registry" else "mmt_registry": folder
        for name, folder in folders.items()
        if not (folder.parent / "pyproject.toml").exists() or folder.parent == ROOT  # a plugin to copy is not ours
    }
    assert sorted(setup["packages"]) == sorted(expected)
    for name in setup["packages"]:
        top, *rest = name.split(".")
        assert ROOT.joinpath(setup["package-dir"][top], *rest) == expected[name]
    assert not (ROOT / "plugins" / "__init__.py").exists()


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    text = (CORE / "__init__.py").read_text(encoding="utf-8")
    listed = re.findall(r"^    from (mmtoolkit\.[\w.]+) import (\w+) as \2$", text, re.MULTILINE)
    assert len(listed) == text.count(" import ") - 2  # all but TYPE_CHECKING and lazy_names
    assert import_module("mmtoolkit").__all__ == dir(mmtoolkit) == sorted(name for _, name in listed)
    for module, name in listed:
        assert getattr(mmtoolkit, name) is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match="module 'mmtoolkit' has no attribute 'nonsense'"):
        _ = mmtoolkit.nonsense  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("mmtoolkit", ("torch", "numpy", "pydantic", "PIL")),
        ("mmtoolkit.base", ("torch",)),
        ("mmtoolkit.tables", ("torch", "pandas", "polars")),
    ],
)
def test_import_is_light(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print(*set({heavy!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
