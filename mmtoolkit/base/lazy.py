"""Lets a package import a public name when somebody first uses it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a package that imports its public names under `if TYPE_CHECKING:`.

    The package writes `from module import Name as Name` for each. `__getattr__` reads that source at the first use of
    a name, so importing the package costs nothing.
    """

    @cache
    def modules() -> dict[str, str]:
        """Public name -> its module."""
        import ast
        import inspect

        tree = ast.parse(inspect.getsource(sys.modules[package]))
        imports = [node for block in tree.body if isinstance(block, ast.If) for node in block.body]
        return {a.name: str(node.module) for node in imports if isinstance(node, ast.ImportFrom) for a in node.names}

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(modules())
        if name.startswith("__") or name not in modules():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(modules()[name]), name)

    return get, lambda: sorted(modules())
