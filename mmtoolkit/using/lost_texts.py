"""Known texts that a reader of a new table takes for missing cells, such as Namibia's NA in a CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mmtoolkit.tables import Rows, TableFile
from mmtoolkit.tables.formats import format_has_null
from mmtoolkit.tables.output import output_format
from mmtoolkit.tables.rows import Raw


class LostTexts:
    """Counts known texts that a reader of a new table takes for missing cells.

    Args:
        table: the table from which the texts come.
        out: the file of the new table.
    """

    def __init__(self, table: TableFile, out: Path) -> None:
        self.out = out
        self.signs = table.reading.signs(format_has_null(output_format(out)))
        """The texts that mean a missing cell in the new table, for a reader with the options of the old one."""
        self._lost = [sign for sign in self.signs if sign not in table.missing]
        self._counts: dict[str, Counter[str]] = {}

    def count(self, columns: Mapping[str, Raw]) -> None:
        """Count the texts in some rows of the new table."""
        for name in columns if self._lost else ():
            if counts := Rows(columns, self._lost).signs(name):
                self._counts.setdefault(name, Counter()).update(counts)

    def notes(self) -> list[str]:
        """A line for each column with such texts."""
        notes = []
        for name, counts in self._counts.items():
            listed = ", ".join(f"{text!r} ({count:,})" for text, count in counts.items())
            reading = "" if "" in counts else "read it with data.missing: [''], or "
            notes.append(
                f"{self.out}: column {name}: known texts that readers of this format take for missing cells: {listed}; "
                f"{reading}write another format, such as .parquet"
            )
        return notes
