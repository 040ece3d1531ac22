"""The layers of the library: each module imports from its own layer and those below, and never from a plugin."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import mmtoolkit

ROOT = Path(__file__).parent.parent
CORE = ROOT / "mmtoolkit"

LAYERS = [
    "errors files yaml12 keyed posterior subsets batch seeds tally weights watcher",
    "normalisation components hookspecs locations tables",
    "plugins catalogue",
    "faults overrides epochs schema columns dataset summary networks models sources evaluators builtin",
    "training devices record run_folder checkpoint execution run comparison comparison_table cross_modal latent report "
    "figures sampling checking testing scaffold first_schema study study_file study_grid study_table study_figure "
    "run_tables run_frames imputing imputed_table embedding evaluating table_output",
    "cli __main__",
]
LAYER = {part: layer for layer, parts in enumerate(LAYERS) for part in parts.split()}
BUILT_IN = {"models", "sources", "evaluators"}


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module of the library."""
    found = {}
    for path in sorted(CORE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from running(node)


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules that a module imports when it runs, in functions too; names of ours down to the module."""
    found: set[str] = set()
    for node in running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                module = node.module
                if module == "mmtoolkit" and alias.name in mmtoolkit._HOME:
                    module = f"mmtoolkit.{mmtoolkit._HOME[alias.name]}"
                inner = f"{module}.{alias.name}"
                found.add(inner if inner in known else module)
    return found


MODULES = modules()
IMPORTS = {name: imports(path, MODULES) for name, path in MODULES.items() if name != "mmtoolkit"}


def part(module: str) -> str:
    """The file or package of the library that a module belongs to."""
    return module.split(".")[1]


def test_every_module_has_a_layer() -> None:
    assert {part(name) for name in IMPORTS} == set(LAYER)


@pytest.mark.parametrize("name", IMPORTS)
def test_imports_are_from_the_same_layer_or_below(name: str) -> None:
    for imported in IMPORTS[name]:
        if not imported.startswith("mmtoolkit."):
            assert imported != "mmtoolkit", f"{name} imports the package itself"
            continue
        assert LAYER.get(part(imported), 0) <= LAYER.get(part(name), len(LAYERS)), f"{name} imports {imported}"


@pytest.mark.parametrize("name", [name for name in IMPORTS if part(name) in BUILT_IN])
def test_built_in_components_import_what_a_stranger_may(name: str) -> None:
    ours = {imported for imported in IMPORTS[name] if imported.startswith("mmtoolkit.")}
    for imported in ours:
        assert LAYER.get(part(imported), 9) <= 1 or part(imported) == part(name), f"{name} imports {imported}"


@pytest.mark.parametrize("name", MODULES)
def test_the_core_imports_no_plugin(name: str) -> None:
    for imported in imports(MODULES[name], MODULES):
        assert not imported.startswith("mmt_"), f"{name} imports {imported}"


def test_modules_do_not_import_each_other() -> None:
    graph = {
        name: {i for i in found if i in MODULES and not name.startswith(f"{i}.")} for name, found in IMPORTS.items()
    }
    tuple(TopologicalSorter(graph).static_order())  # raises where there is a circle


def test_plugins_import_of_the_core_only_what_a_stranger_may() -> None:
    allowed = {part for part, layer in LAYER.items() if layer <= 1}
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        for imported in imports(path, MODULES):
            if imported.startswith("mmtoolkit."):
                testing = path.parent.name == "tests" and part(imported) == "testing"
                assert testing or part(imported) in allowed, f"{path} imports {imported}"


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


def test_every_public_name_resolves() -> None:
    assert sorted(mmtoolkit.__all__) == sorted(mmtoolkit._HOME)
    for name in mmtoolkit.__all__:
        assert getattr(mmtoolkit, name) is getattr(import_module(f"mmtoolkit.{mmtoolkit._HOME[name]}"), name)
    assert dir(mmtoolkit) == sorted(mmtoolkit.__all__)
    with pytest.raises(AttributeError, match="module 'mmtoolkit' has no attribute 'nonsense'"):
        _ = mmtoolkit.nonsense


def test_type_checkers_see_the_same_names() -> None:
    for node in ast.parse((CORE / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If):
            seen = {
                alias.name: statement.module
                for statement in node.body
                if isinstance(statement, ast.ImportFrom)
                for alias in statement.names
            }
            assert seen == {name: f"mmtoolkit.{home}" for name, home in mmtoolkit._HOME.items()}
            return
    pytest.fail("there is no TYPE_CHECKING block")


def test_import_is_light() -> None:
    code = "import mmtoolkit, sys; print(*{'torch', 'numpy', 'pydantic', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
