"""How K numbers stand in a cell and in a value: one number, or one for each of several columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.components.known_numbers import packed_entries, split_entries
from mmtoolkit.components.records import Records
from mmtoolkit.tables.cells import Cells


class NumberCodec(ABC):
    """How the K numbers of a row stand in its cell and in its value.

    A cell has K entries, None where unknown. A value is a tensor of the shape `event_shape`.
    """

    single: ClassVar[bool]
    """Whether a value is one number, (N,), rather than (N, 2, K)."""

    @property
    @abstractmethod
    def size(self) -> int:
        """K."""

    # Values.

    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one value."""

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (N, *event) as numbers (N, K), zero if unknown, and which are known, (N, K) bool."""
        return split_entries(x, self.single)

    def packed(self, numbers: Tensor, known: Tensor | None = None) -> Tensor:
        """Numbers (N, K), and which are known, (N, K), by default all, as values (N, *event)."""
        return packed_entries(numbers, torch.ones_like(numbers) if known is None else known, self.single)

    @abstractmethod
    def numbers_of(self, value: Tensor) -> list[float | None]:
        """The K numbers of one value (*event), None where unknown."""

    @property
    @abstractmethod
    def feature_count(self) -> int:
        """The number of features that `features` returns."""

    @abstractmethod
    def features(self, numbers: Tensor, known: Tensor) -> Tensor:
        """What a network reads of numbers (N, K) of which some are known, (N, K) bool: (N, feature_count)."""

    # Cells.

    @abstractmethod
    def names(self, name: str) -> tuple[str, ...]:
        """The names of the K numbers of a modality of this name."""

    @abstractmethod
    def assembled(self, columns: Sequence[Cells]) -> Cells:
        """K columns of entries as one column of cells."""

    @abstractmethod
    def columns(self, cells: Cells) -> tuple[Sequence[Cells], Mapping[int, str]]:
        """A column of cells as K columns of entries, and row -> the fault of a cell that has none."""

    @abstractmethod
    def located(self, fault: str, place: int) -> str:
        """The fault of an entry in the column at index `place`, as the fault of its cell."""

    @abstractmethod
    def typed(self, text: str) -> Any:
        """The cell that a text on the command line stands for.

        Raises:
            ValueError: it is no cell; the message states the fault and the remedy.
        """

    @abstractmethod
    def cell(self, entries: Sequence[Any]) -> Any:
        """The cell with K entries, None where unknown."""

    @abstractmethod
    def text(self, entries: Sequence[str | None]) -> str:
        """K entries as one text."""


class OneNumber(NumberCodec):
    """A cell is the entry itself, and a value its number, which is known: (N,)."""

    single = True
    size = 1
    feature_count = 1

    def event_shape(self) -> tuple[int, ...]:
        """()."""
        return ()

    def numbers_of(self, value: Tensor) -> list[float | None]:
        """The number."""
        return [float(value)]

    def features(self, numbers: Tensor, known: Tensor) -> Tensor:
        """The numbers: (N, 1)."""
        return numbers

    def names(self, name: str) -> tuple[str, ...]:
        """The name of the modality."""
        return (name,)

    def assembled(self, columns: Sequence[Cells]) -> Cells:
        """The one column."""
        return columns[0]

    def columns(self, cells: Cells) -> tuple[Sequence[Cells], Mapping[int, str]]:
        """The cells."""
        return (cells,), {}

    def located(self, fault: str, place: int) -> str:
        """The fault."""
        return fault

    def typed(self, text: str) -> Any:
        """The text."""
        return text

    def cell(self, entries: Sequence[Any]) -> Any:
        """The entry."""
        return entries[0]

    def text(self, entries: Sequence[str | None]) -> str:
        """The entry."""
        return str(entries[0])


@dataclass(frozen=True)
class NumberColumns(NumberCodec):
    """A cell maps columns to entries, and a value has a flag for each number, 1 if known, else 0: (N, 2, K).

    Attributes:
        of: the names of the K columns.
    """

    of: tuple[str, ...]
    single = False

    @property
    def size(self) -> int:
        """K."""
        return len(self.of)

    def event_shape(self) -> tuple[int, ...]:
        """(2, K): the numbers, and the flags."""
        return (2, self.size)

    def numbers_of(self, value: Tensor) -> list[float | None]:
        """The numbers, None where unknown."""
        numbers, known = value.tolist()
        return [number if flag > 0.5 else None for number, flag in zip(numbers, known, strict=True)]

    @property
    def feature_count(self) -> int:
        """2 K."""
        return 2 * self.size

    def features(self, numbers: Tensor, known: Tensor) -> Tensor:
        """The numbers, and a flag for each, 1 if known, else 0: (N, 2 K)."""
        return torch.cat([numbers, known.to(numbers)], dim=1)

    def names(self, name: str) -> tuple[str, ...]:
        """The columns."""
        return self.of

    def assembled(self, columns: Sequence[Cells]) -> Cells:
        """A mapping column -> entry for each row."""
        return Records(dict(zip(self.of, columns, strict=True)))

    def columns(self, cells: Cells) -> tuple[Sequence[Cells], Mapping[int, str]]:
        """The entries of each column. A cell is at fault if it is no mapping, or names an unknown column."""
        if isinstance(cells, Records):
            return [cells.columns[name] for name in self.of], {}
        rows: list[Mapping[str, Any]] = []
        faults: dict[int, str] = {}
        for row, cell in enumerate(cells):
            if cell is not None and not isinstance(cell, Mapping):
                faults[row] = self._no_mapping(cell)
            elif unknown := [str(name) for name in cell or () if name not in self.of]:
                faults[row] = f"there is no column {unknown[0]!r}; the columns are {', '.join(self.of)}"
            rows.append(cell if isinstance(cell, Mapping) else {})
        return [[cell.get(name) for cell in rows] for name in self.of], faults

    def _no_mapping(self, cell: Any) -> str:
        return f"{cell!r} is not a mapping; write {{{self.of[0]}: VALUE}}"

    def located(self, fault: str, place: int) -> str:
        """The fault, after its column."""
        return f"{self.of[place]}: {fault}"

    def typed(self, text: str) -> Any:
        """A mapping in YAML, such as `{Male: 1}`."""
        try:
            cell = read_yaml(text, "it").data if text.strip() else text
        except UserError as error:
            raise ValueError(f"{error}; write {{{self.of[0]}: VALUE}}") from error
        if not isinstance(cell, Mapping):
            raise ValueError(self._no_mapping(cell))
        return cell

    def cell(self, entries: Sequence[Any]) -> Any:
        """A mapping of the known entries."""
        return {name: entry for name, entry in zip(self.of, entries, strict=True) if entry is not None}

    def text(self, entries: Sequence[str | None]) -> str:
        """The known entries with their columns."""
        known = [f"{name}={entry}" for name, entry in zip(self.of, entries, strict=True) if entry is not None]
        return ", ".join(known) or "unknown"
