"""The types that the signatures of public names show."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

OURS = ("mmtoolkit", "mmt_image", "mmt_attributes", "mmt_binary", "mmt_series", "mmt_text")


def is_ours(module: str) -> bool:
    """Whether a module is of the library or of a plugin that ships with it."""
    return module.split(".")[0] in OURS


def annotations_of(name: str, thing: Any) -> Iterator[tuple[str, str, str]]:
    """Where each annotation of a class or function is written, in which module, and its text.

    Of a class: those of its public fields, methods and properties, and of those that it inherits from classes of ours.
    """
    if isinstance(thing, FunctionType):
        yield from (
            (name, thing.__module__, text)
            for argument, text in thing.__annotations__.items()
            if text and argument != "self"
        )
    elif isinstance(thing, type):
        for cls in thing.__mro__:
            if is_ours(cls.__module__):
                for field, text in vars(cls).get("__annotations__", {}).items():
                    if not field.startswith("_"):
                        yield f"{name}.{field}", cls.__module__, text
                for member, value in vars(cls).items():
                    if not member.startswith("_") or member.endswith("__"):
                        for function in functions(value):
                            if is_ours(function.__module__):
                                yield from annotations_of(f"{name}.{member}", function)


def functions(member: Any) -> list[FunctionType]:
    """The functions of a method or property."""
    if isinstance(member, property):
        inside = [member.fget, member.fset]
    elif isinstance(member, cached_property):
        inside = [member.func]
    else:
        inside = [getattr(member, "__func__", member)]  # of a class or static method
    return [function for function in inside if isinstance(function, FunctionType)]


@cache
def imported(module: str) -> dict[str, tuple[str, str]]:
    """Name -> the module that it is imported from, and its name there, for type checkers too."""
    names: dict[str, tuple[str, str]] = {}
    for node in ast.walk(ast.parse(Path(str(import_module(module).__file__)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: (str(node.module), alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.split(".")[0]: (alias.name, "") for alias in node.names}
    return names


def hidden_types(public: Mapping[str, Any], name: str) -> set[str]:
    """The types of ours in the signatures of a public class or function that are not public as they are written there.

    Args:
        public: `package.name` -> what it is.
        name: one of them.
    """
    hidden: set[str] = set()
    for place, module, text in annotations_of(name, public[name]):
        assert isinstance(text, str), f"{place}: {module} lacks `from __future__ import annotations`"
        for written in names(ast.parse(text, mode="eval")):
            home, original = imported(module).get(written, (module, written))
            if not is_ours(home) or (home == module and hasattr(builtins, written)):
                continue
            written_type = getattr(import_module(home), original) if original else import_module(home)
            is_public = any(key.endswith(f".{written}") and thing is written_type for key, thing in public.items())
            if not is_public and not isinstance(written_type, TypeVar):
                hidden.add(f"{place}: {written} of {home}")
    return hidden


def names(node: ast.AST) -> Iterator[str]:
    """The names of types in an annotation; what `Annotated` adds to a type is none."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Annotated":
        assert isinstance(node.slice, ast.Tuple)
        yield from names(node.slice.elts[0])
    else:
        for child in ast.iter_child_nodes(node):
            yield from names(child)
