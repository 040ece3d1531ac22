"""The base class of sources: where rows come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from pydantic import Field, PositiveInt

from mmtoolkit.components.component import Component
from mmtoolkit.components.supervision import Supervision
from mmtoolkit.tables.cells import Cells

if TYPE_CHECKING:
    from mmtoolkit.tables import FilesBeside, Reading


class Table(Protocol):
    """Rows of one split. A cell is None where it is missing."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""

    def __len__(self) -> int:
        """The number of rows."""

    def column(self, name: str) -> Cells:
        """All cells of a column; it may be one array."""

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns, up to `size` rows at a time, in order."""


class Columns:
    """A `Table` of columns in memory: sequences or arrays of one length.

    Raises:
        ValueError: the columns differ in length.
    """

    def __init__(self, columns: Mapping[str, Cells]) -> None:
        self._columns = dict(columns)
        lengths = {name: len(cells) for name, cells in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a table have one length; here {lengths}")
        self._length = next(iter(lengths.values()), 0)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self._columns)

    def __len__(self) -> int:
        return self._length

    def column(self, name: str) -> Cells:
        """All cells of a column."""
        return self._columns[name]

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns, up to `size` rows at a time."""
        for start in range(0, self._length, size):
            yield {name: self._columns[name][start : start + size] for name in names}


class Source(Component):
    """Where rows come from: named splits, each a table of cells.

    `train` is the split that is learned from; `valid` chooses the best weights where it exists.
    """

    family: ClassVar[str] = "source"

    rows: dict[str, PositiveInt] = Field(default_factory=dict)
    """Split -> how many of its first rows to use; all where a split is not named."""
    on_bad_cell: Literal["error", "missing"] = "error"
    """What a cell that cannot be read is: an error, or a missing cell that is counted and reported."""
    supervision: Supervision | None = None
    """Cells of training rows to hide, for studies of weak supervision."""

    def located(self, find: Callable[[str], Path]) -> Self:
        """A copy with its data's folder filled in where it was left out: find(data set's name) -> folder."""
        return self

    def reading(self) -> Reading | None:
        """How a table of the user's is read that a run on this source is given. Default: as its ending says."""
        return None

    def beside(self, split: str) -> FilesBeside | None:
        """Where the files lie that the texts of a split name, for modalities of which texts do (`reads_files`).

        Default: nowhere, cells are handed over as they are.
        """
        return None

    def place(self, split: str, row: int) -> str:
        """How a row of a split, counted from 0, is named to the user. Default: `train row 0`."""
        return f"{split} row {row}"

    def notes(self) -> Sequence[str]:
        """What the user should know of the data, a line each, told once it is prepared."""
        return ()

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """The files the rows are read from: prepared data is made again when one of them changes."""

    @abstractmethod
    def load(self, split: str) -> Table:
        """The rows of a split.

        Raises:
            UserError: a file is missing or broken; the line names it, the fault and the remedy.
        """
