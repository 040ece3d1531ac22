"""Docstrings under fields describe them, as pydantic's own option would, but are read only when asked for."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mmtoolkit.base.described import Described, descriptions


class Plain(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    kind: str = "a"
    """Which one.

    In words."""
    size: Annotated[int, Field(description="Its own.")] = 1
    """Not this."""
    bare: int = 0
    inner: float = 0.5
    """Inner
    text."""


class PlainChild(Plain):
    kind: str = "b"
    size: int = 2
    """Of the child."""


class Ours(Described):
    kind: str = "a"
    """Which one.

    In words."""
    size: Annotated[int, Field(description="Its own.")] = 1
    """Not this."""
    bare: int = 0
    inner: float = 0.5
    """Inner
    text."""


class OursChild(Ours):
    kind: str = "b"
    size: int = 2
    """Of the child."""


class Outer(Described):
    ours: OursChild = OursChild()
    """A mapping."""


def test_the_json_schema_is_that_of_pydantic() -> None:
    for plain, ours in ((Plain, Ours), (PlainChild, OursChild)):
        expected, schema = plain.model_json_schema(), ours.model_json_schema()
        assert schema["properties"] == expected["properties"]


def test_descriptions_stand_in_nested_schemas() -> None:
    schema = Outer.model_json_schema()
    assert schema["properties"]["ours"]["description"] == "A mapping."
    assert schema["$defs"]["OursChild"]["properties"]["size"]["description"] == "Of the child."


def test_a_class_without_source_has_none() -> None:
    names: dict[str, type[Described]] = {}
    exec("class Made(Described):\n    x: int = 0\n    'Text.'\n", {"Described": Described, "__name__": "made"}, names)
    assert descriptions(names["Made"]) == {}
