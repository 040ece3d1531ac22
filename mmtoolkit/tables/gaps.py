"""Gaps in cells that are lists: null and NaN, also in the text of a list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic_core import from_json

from mmtoolkit.tables.cells import is_nothing

_ELEMENT = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\[\]"]+')  # in the JSON text of a list


def has_gaps(cell: Any) -> bool:
    """Whether a cell is a list of any depth, an array or the JSON text of a list, and some element is null or NaN."""
    elements = _list_in(cell)
    return elements is not None and any(map(is_nothing, _flat(elements)))


def with_gaps_filled(cell: Any, new: Any) -> Any:
    """A cell with its gaps taken from another; every known element stays as it is, in a text letter by letter.

    Args:
        cell: what `has_gaps` accepts.
        new: a list of the same lengths, or its JSON text.

    Returns:
        A cell of the same type; None if both are no lists of the same lengths.
    """
    if not are_alike(cell, new):
        return None
    old, fills = _list_in(cell), _list_in(new)
    if not isinstance(cell, str):
        return _joined(old, fills)
    return _joined_texts(cell, new if isinstance(new, str) else json.dumps(new), list(_flat(old or ())))


def are_alike(cell: Any, new: Any) -> bool:
    """Whether two cells are lists, or JSON texts of lists, of the same lengths at every depth."""
    old, fills = _list_in(cell), _list_in(new)
    return old is not None and fills is not None and _are_alike(old, fills)


def in_place_of(cell: Any, new: Any) -> Any:
    """A new cell for the place of another: the new one, or the other with its gaps filled if it has some.

    None if there is no new cell, or it cannot fill the gaps.
    """
    return with_gaps_filled(cell, new) if new is not None and has_gaps(cell) else new


def _list_in(cell: Any) -> Sequence[Any] | None:
    """The list that a cell is, or that it is the JSON text of; None for any other cell."""
    if isinstance(cell, str):
        if not cell.lstrip().startswith("["):
            return None
        try:
            cell = from_json(cell)
        except ValueError:
            return None
    return cell if _is_list(cell) else None


def _is_list(cell: Any) -> bool:
    return isinstance(cell, (list, tuple)) or (isinstance(cell, np.ndarray) and cell.ndim > 0)


def _flat(elements: Sequence[Any]) -> Iterator[Any]:
    for element in elements:
        if _is_list(element):
            yield from _flat(element)
        else:
            yield element


def _are_alike(old: Any, new: Any) -> bool:
    """Whether lists have the same lengths at every depth."""
    if not _is_list(old) or not _is_list(new):
        return not _is_list(old) and not _is_list(new)
    return len(old) == len(new) and all(map(_are_alike, old, new))


def _joined(old: Any, new: Any) -> Any:
    if not _is_list(old):
        return new if is_nothing(old) else old
    if isinstance(old, np.ndarray) and old.dtype != object:
        return np.where(np.isnan(old), np.asarray(new, old.dtype), old)
    elements = list(map(_joined, old, new))
    if isinstance(old, np.ndarray):
        copied = old.copy()
        for place, element in enumerate(elements):
            copied[place] = element
        return copied
    return elements


def _joined_texts(text: str, new: str, elements: Sequence[Any]) -> str | None:
    """The text of a list of these elements, with the text of a new element in place of each gap."""
    gaps, fills = list(map(is_nothing, elements)), _ELEMENT.findall(new)
    if not len(gaps) == len(fills) == len(_ELEMENT.findall(text)):  # such as lists of objects
        return None
    choices = iter(zip(gaps, fills, strict=True))

    def chosen(match: re.Match[str]) -> str:
        gap, fill = next(choices)
        return fill if gap else match[0]

    return _ELEMENT.sub(chosen, text)
