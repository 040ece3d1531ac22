"""What is seen of a table's column, and how a modality proposes to read it."""

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

_SHOWN = 30


@dataclass(frozen=True, eq=False)
class ColumnSummary:
    """What was seen of a column of a table. Missing cells are only counted.

    Attributes:
        name: of the column.
        rows: of the table.
        missing: how many of its cells are missing.
        cells: its distinct cells, in order of appearance.
        counts: how often each occurs.
        more: whether it has further distinct cells: some thousands are kept.
        beside: where the files lie that its cells may name.
    """

    name: str
    rows: int
    missing: int
    cells: Sequence[Any]
    counts: Sequence[int]
    more: bool = False
    beside: FilesBeside | None = field(default=None, repr=False)

    @property
    def counted(self) -> int:
        """How many cells are like one of the distinct ones."""
        return sum(self.counts)

    @property
    def repeats(self) -> float:
        """How often a distinct cell occurs on average; 0 where there is none."""
        return self.counted / len(self.cells) if self.cells else 0.0

    @cached_property
    def texts(self) -> tuple[str, ...] | None:
        """The distinct cells where all of them are texts."""
        return tuple(self.cells) if self.cells and all(isinstance(cell, str) for cell in self.cells) else None

    def share(self, flags: Sequence[bool]) -> float:
        """The share of the counted cells whose distinct cell has a flag."""
        return sum(compress(self.counts, flags)) / max(self.counted, 1)

    def example(self, cell: Any) -> str:
        """A cell as a comment shows it: short, and on one line."""
        text = repr(cell) if isinstance(cell, str) and not cell.strip() else one_line(str(cell))
        return shorten(text, _SHOWN)

    def examples(self, most: int = 4) -> str:
        """The first distinct cells, in one line."""
        return ", ".join(map(self.example, self.cells[:most])) + (", …" if len(self.cells) > most else "")

    def files(self, most: int) -> tuple[list[Path], list[str]]:
        """The files that the first `most` cells name, and what is wrong with those that name none."""
        texts = [cell for cell in self.cells[:most] if isinstance(cell, str)]
        if self.beside is None:
            return [], []
        opened, faults = self.beside.opened(texts)
        return [path for path in opened if path is not None], list(faults.values())

    def without(self, markers: Collection[str]) -> ColumnSummary:
        """The same column with texts that stand for a missing cell counted as missing."""
        kept = [not (isinstance(cell, str) and cell in markers) for cell in self.cells]
        cells, counts = tuple(compress(self.cells, kept)), tuple(compress(self.counts, kept))
        return replace(self, missing=self.missing + self.counted - sum(counts), cells=cells, counts=counts)


@dataclass(frozen=True)
class Proposal:
    """How a modality would read a column.

    Attributes:
        sure: from 0 to 1; a column is read as the kind that is surest of it proposes. Ours are at 0.9 where nothing
            else makes sense, and at 0.6 where the column can be read so, but another kind may fit better.
        options: those of the modality that are not left at their default, as a schema has them.
        about: what was seen, and why, as the comment above the modality says it.
        use: whether to use the column. Otherwise the modality is written as a comment, and `about` says why.
        cost: milliseconds that one row of an epoch takes for this modality on a core, roughly.
    """

    sure: float
    options: Mapping[str, Any]
    about: str
    use: bool = True
    cost: float = 0.3
