"""Faults of cells, whose texts are composed when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

Cause = TypeVar("Cause")


class Faults(Mapping[int, str], Generic[Cause]):
    """Row -> the fault of its cell, as a text that is composed each time it is read.

    A column may have thousands of bad cells, of which a user sees the first few. To find the closest name for each of
    them may take longer than to read them all.

    Args:
        causes: row -> what is at fault, such as the cell.
        describe: composes the text of a cause.
    """

    def __init__(self, causes: Mapping[int, Cause], describe: Callable[[Cause], str]) -> None:
        self._causes, self._describe = causes, describe

    def __getitem__(self, row: int) -> str:
        return self._describe(self._causes[row])

    def __contains__(self, row: object) -> bool:
        return row in self._causes

    def __iter__(self) -> Iterator[int]:
        return iter(self._causes)

    def __len__(self) -> int:
        return len(self._causes)
