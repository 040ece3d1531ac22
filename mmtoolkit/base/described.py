"""Pydantic models whose fields are described by the docstrings under them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler


class Described(BaseModel):
    """A model whose JSON Schema has the docstring under each field as the field's description.

    pydantic's `use_attribute_docstrings` gives the same, but reads the docstrings when a class is made: for all of
    ours together that takes half a second of every start. Here they are read when somebody asks.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        describe(handler.resolve_ref_schema(schema), cls)
        return schema


def describe(schema: Mapping[str, Any], cls: type[BaseModel]) -> None:
    """Add the descriptions of a class to the properties of its JSON Schema that have none."""
    properties = schema.get("properties", {})
    for name, text in descriptions(cls).items():
        if name in properties:
            properties[name].setdefault("description", text)


@cache
def descriptions(cls: type[BaseModel]) -> Mapping[str, str]:
    """Name -> the docstring under it, of the fields of a class and of its bases."""
    texts: dict[str, str | None] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            texts |= _own_descriptions(base)
    return {name: text for name in cls.model_fields if (text := texts.get(name)) is not None}


def _own_descriptions(cls: type) -> dict[str, str | None]:
    """Field -> the docstring under it, None where there is none, of those that the class itself states."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # made in an interpreter, or by a function
        return {}
    assert isinstance(tree, ast.ClassDef)
    texts: dict[str, str | None] = {}
    for field, below in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            texts[field.target.id] = _text(below)
    return texts


def _text(statement: ast.stmt | None) -> str | None:
    """The text of a docstring; None for any other statement."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return inspect.cleandoc(value.value) if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
