"""The base class of sources, and the tables of rows that they load."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from pydantic import Field, PositiveInt

from mmtoolkit.components.component import Component
from mmtoolkit.components.supervision import Supervision
from mmtoolkit.tables.cells import Cells

if TYPE_CHECKING:
    from mmtoolkit.tables import FilesBeside, Reading
    from mmtoolkit.tables.summary import ColumnSummary


class Table(Protocol):
    """The rows of one split. A missing cell is None."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""

    def __len__(self) -> int:
        """The number of rows."""

    def column(self, name: str) -> Cells:
        """All cells of a column, as a sequence or an array."""

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """Iterate over the named columns in order, up to `size` rows at a time."""


class Columns:
    """A `Table` of columns in memory: sequences or arrays of equal length.

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
        """The names of the columns."""
        return tuple(self._columns)

    def __len__(self) -> int:
        return self._length

    def column(self, name: str) -> Cells:
        """All cells of a column."""
        return self._columns[name]

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """Iterate over the named columns, up to `size` rows at a time."""
        for start in range(0, self._length, size):
            yield {name: self._columns[name][start : start + size] for name in names}


class Source(Component):
    """The base class of sources, which load named splits, each a table of cells.

    Training uses the split `train`. If there is a split `valid`, it selects the best weights.
    """

    family: ClassVar[str] = "source"

    rows: dict[str, PositiveInt] = Field(default_factory=dict)
    """Split -> how many of its first rows to use. By default all rows of a split."""
    on_bad_cell: Literal["error", "missing"] = "error"
    """How to treat a cell that cannot be read: as an error, or as a missing cell, counted and reported."""
    supervision: Supervision | None = None
    """Training cells to hide, for studies of weak supervision."""

    def located(self, find: Callable[[str], Path]) -> Self:
        """A copy with the folder of its data filled in, if omitted: find(name of the data set) -> folder."""
        return self

    def reading(self) -> Reading | None:
        """How a run on this source reads a table that the user gives it later. Default: as its file ending says."""
        return None

    def beside(self, split: str) -> FilesBeside | None:
        """Return the opener of the files that texts in a split name, for modalities that read files (`reads_files`).

        Default: None; modalities receive the texts themselves.
        """
        return None

    def place(self, split: str, row: int) -> str:
        """The name of a row in messages; `row` counts from 0. Default: such as `train row 0`."""
        return f"{split} row {row}"

    def notes(self) -> Sequence[str]:
        """Lines about the data that the user should read, reported once it is prepared."""
        return ()

    def summaries(self, signs: Mapping[str, Collection[str]]) -> Sequence[ColumnSummary]:
        """Summaries of some columns, for counts of signs and for types: one for each column and table.

        Args:
            signs: column -> texts that mean a missing cell there, besides those of the source.

        Default: none.
        """
        return ()

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """The files that hold the rows. If one of them changes, the data is prepared again."""

    @abstractmethod
    def load(self, split: str) -> Table:
        """Load the rows of a split.

        Raises:
            UserError: a file is missing or damaged; the message names the file, the fault and the remedy.
        """
