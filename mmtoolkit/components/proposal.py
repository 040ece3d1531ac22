"""The summary of a table's column, and how a modality proposes to read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtoolkit.base.words import one_line, shorten

if TYPE_CHECKING:
    from mmtoolkit.tables import FilesBeside

_LONGEST_EXAMPLE = 30


@dataclass(frozen=True, eq=False)
class ColumnSummary:
    """The distinct cells of a table's column and how often each occurs. Missing cells are only counted.

    Attributes:
        name: the name of the column.
        rows: the number of rows of the table.
        missing: the number of missing cells.
        cells: the distinct cells, in order of appearance.
        counts: how often each distinct cell occurs.
        more: whether the column has further distinct cells. Only the first few thousand are listed.
        beside: opens the files that cells may name; None if cells name no files.
        signs: the texts that count as missing cells, and how often each occurs; without the empty text.
    """

    name: str
    rows: int
    missing: int
    cells: Sequence[Any]
    counts: Sequence[int]
    more: bool = False
    beside: FilesBeside | None = field(default=None, repr=False)
    signs: Mapping[str, int] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        """The number of cells that equal one of the distinct ones."""
        return sum(self.counts)

    @property
    def repeats(self) -> float:
        """How often a distinct cell occurs on average; 0 if there is none."""
        return self.counted / len(self.cells) if self.cells else 0.0

    @cached_property
    def texts(self) -> tuple[str, ...] | None:
        """The distinct cells if all of them are texts; otherwise None."""
        return tuple(self.cells) if self.cells and all(isinstance(cell, str) for cell in self.cells) else None

    def share(self, flags: Sequence[bool]) -> float:
        """The share of the counted cells whose flag is true; `flags` has one for each distinct cell."""
        return sum(compress(self.counts, flags)) / max(self.counted, 1)

    def example(self, cell: Any) -> str:
        """A cell as a comment shows it: short and on one line."""
        text = repr(cell) if isinstance(cell, str) and not cell.strip() else one_line(str(cell))
        return shorten(text, _LONGEST_EXAMPLE)

    def examples(self, most: int = 4) -> str:
        """The first `most` distinct cells, on one line."""
        return ", ".join(map(self.example, self.cells[:most])) + (", …" if len(self.cells) > most else "")

    def files(self, most: int) -> tuple[list[Path], list[str]]:
        """The files that the first `most` distinct cells name, and a fault for each text that names no file."""
        texts = [cell for cell in self.cells[:most] if isinstance(cell, str)]
        if self.beside is None:
            return [], []
        opened, faults = self.beside.opened(texts)
        return [path for path in opened if path is not None], list(faults.values())

    def without(self, markers: Collection[str]) -> ColumnSummary:
        """The same column with the texts in `markers` counted as missing cells."""
        present = [not (isinstance(cell, str) and cell in markers) for cell in self.cells]
        cells, counts = tuple(compress(self.cells, present)), tuple(compress(self.counts, present))
        absent = {c: n for c, n, here in zip(self.cells, self.counts, present, strict=True) if c and not here}
        missing = self.missing + self.counted - sum(counts)
        return replace(self, missing=missing, cells=cells, counts=counts, signs={**self.signs, **absent})


@dataclass(frozen=True)
class Proposal:
    """How a modality would read a column.

    Attributes:
        sure: confidence, from 0 to 1; the kind with the highest one reads the column. Built-in kinds use 0.9 if
            nothing else makes sense, and 0.6 if they can read the column but another kind may fit better.
        options: the modality's options that differ from their defaults, as a schema writes them.
        about: the observation and the reason, for the comment above the modality.
        use: whether to use the column. If not, the schema has the modality as a comment, and `about` gives the reason.
        cost: approximate milliseconds of one core per row of an epoch.
    """

    sure: float
    options: Mapping[str, Any]
    about: str
    use: bool = True
    cost: float = 0.3
