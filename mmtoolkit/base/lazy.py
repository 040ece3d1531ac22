"""A package whose public names are imported when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose public names are those that it imports for type checkers.

    The package writes each as `from module import Name as Name` under `if TYPE_CHECKING:`. Its source is read when
    the first name is used, so that importing the package costs nothing.
    """

    @cache
    def modules() -> dict[str, str]:
        """Public name -> the module that it is imported from."""
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
