"""The base class of modalities whose values are numbers: one per row, or several, some possibly unknown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.base.better import Better
from mmtoolkit.components.faults import Faults
from mmtoolkit.components.known_numbers import Entries
from mmtoolkit.components.modality import Modality, Parsed
from mmtoolkit.components.number_codec import NumberCodec, NumberColumns, OneNumber
from mmtoolkit.tables.cells import Cells


def _of(metric: str, column: str) -> str:
    """The name of a score of one column."""
    return f"{metric} of {column}"


def _short(entry: Any) -> str:
    return f"{entry:.4g}" if isinstance(entry, float) else str(entry)


def _distinct(columns: tuple[str, ...]) -> tuple[str, ...]:
    duplicate = next((name for name in columns if columns.count(name) > 1), None)
    if duplicate is not None:
        raise ValueError(f"the column {duplicate!r} is named twice; name each once")
    return columns


class NumberModality(Modality):
    """The base class of modalities with one number per row, or K numbers from K columns, some possibly unknown.

    Without `columns`, a cell is a single value and the event is (). With `columns`, a cell is a mapping column -> value
    and the event is (2, K): the numbers, and a flag for each, 1 if known, else 0. An entry that is absent or None is
    unknown; a row without a known entry is a missing cell. `codec` has all that differs between the two.

    A subclass converts entries to numbers and back (`number`, `entry`) and defines encoder and decoder, or inherits
    them from `Parted`. `split_entries` and `Entries` handle both forms; pass them `single`.
    """

    columns: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)] | None = None
    """The columns of the source, one for each number. By default one number, from `column`."""

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if self.columns is not None and self.column is not None:
            raise ValueError("column and columns are both given; keep columns for several numbers, column for one")
        return self

    @property
    def codec(self) -> NumberCodec:
        """How the numbers of a row stand in its cell and its value."""
        return OneNumber() if self.columns is None else NumberColumns(self.columns)

    @property
    def single(self) -> bool:
        """Whether values are single numbers, (N,), rather than (N, 2, K)."""
        return self.codec.single

    @property
    def size(self) -> int:
        """K, the number of numbers in a value."""
        return self.codec.size

    def source_columns(self, name: str) -> tuple[str, ...]:
        """The columns of the source: `columns`, or the one of a single number."""
        return self.codec.names(self.column or name)

    def assembled(self, name: str, chunk: Mapping[str, Cells]) -> Cells:
        """The cells of the one column, or a mapping column -> value for each row of several."""
        return self.codec.assembled([chunk[column] for column in self.source_columns(name)])

    def event_shape(self) -> tuple[int, ...]:
        """() for a single number; (2, K) for several: the numbers, and a flag for each, 1 if known, else 0."""
        return self.codec.event_shape()

    def by_column(self, name: str, cells: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        """The cells of the one column, or the entries of each of several."""
        columns = cast("Sequence[Sequence[Any]]", self.codec.columns(cells)[0])  # no arrays, since `cells` is none
        return dict(zip(self.source_columns(name), columns, strict=True))

    # Cells.

    @abstractmethod
    def number(self, cell: Any, place: int) -> float:
        """Convert a cell, or its entry in the column at index `place`, to a number; NaN if it is unknown.

        Raises:
            ValueError: it cannot be read; the message states the fault and the remedy.
        """

    @abstractmethod
    def entry(self, number: float, place: int) -> Any:
        """Convert a number of the column at index `place` to a table's entry, the inverse of `number`."""

    def example_numbers(self) -> Sequence[float]:
        """Four numbers that entries can be, all different, for `example_cells`. Default: 0, 1, 2 and 3."""
        return (0.0, 1.0, 2.0, 3.0)

    def example_cells(self) -> Cells:
        """Cells with the entries of `example_numbers`; with several columns, some entries are unknown."""
        numbers = self.example_numbers()
        rows = [[self.entry(numbers[(n + k) % 4], k) for k in range(self.size)] for n in range(4)]
        gaps = [] if self.single else [[rows[1][0], *[None] * (self.size - 1)], [None, *rows[2][1:]]]
        return [self.codec.cell(row) for row in (*rows, *gaps)]

    def numbers(self, cells: Cells, place: int) -> tuple[NDArray[np.float64], Mapping[int, str]]:
        """Convert a column of cells to numbers (N,), NaN if unknown or faulty, and row -> fault.

        Default: `number` of each distinct cell that is not None.
        """
        numbers = np.full(len(cells), np.nan)
        faults: dict[int, str] = {}
        known: dict[Any, float | str] = {}
        for row, cell in enumerate(cells):
            if cell is None:
                continue
            key = (type(cell), cell) if isinstance(cell, (str, int, float, np.generic)) else (row, row)
            if key not in known:
                try:
                    known[key] = self.number(cell, place)
                except ValueError as error:
                    known[key] = str(error)
            value = known[key]
            if isinstance(value, str):
                faults[row] = value
            else:
                numbers[row] = value
        return numbers, faults

    def parse(self, cell: Any) -> Tensor:
        """Convert one cell to float64 (*event)."""
        parsed = self.parse_column([cell])
        if parsed.faults:
            raise ValueError(parsed.faults[0])
        if not parsed.present[0]:
            raise ValueError("it has no known value; give one, or leave the cell empty")
        return parsed.stored[0]

    def parse_column(self, cells: Cells) -> Parsed:
        """Parse cells column by column. A faulty entry is unknown; the rest of its row stays."""
        codec = self.codec
        columns, of_cells = codec.columns(cells)
        values, known = np.zeros((len(cells), codec.size)), np.zeros((len(cells), codec.size), dtype=np.bool_)
        of_columns: list[Mapping[int, str]] = []
        for place, column in enumerate(columns):
            numbers, faults = self.numbers(column, place)
            known[:, place] = ~np.isnan(numbers)
            values[:, place] = np.where(known[:, place], numbers, 0.0)
            of_columns.append(faults)

        def described(row: int) -> str:
            of_entries = [codec.located(of[row], place) for place, of in enumerate(of_columns) if row in of]
            return ". ".join([*([of_cells[row]] if row in of_cells else []), *of_entries])

        rows = dict.fromkeys(chain(of_cells, *of_columns))
        stored = codec.packed(torch.from_numpy(values), torch.from_numpy(known))
        return Parsed(stored, torch.from_numpy(known.any(1)), Faults({row: row for row in rows}, described))

    def typed(self, text: str) -> Any:
        """The text itself; for several numbers, read it as a mapping in YAML, such as `{Male: 1}`."""
        return self.codec.typed(text)

    def layout(self) -> dict[str, Any]:
        """With what stands where in a value."""
        several = "the numbers of the columns in order, 0 where unknown, and a flag for each, 1 if known, else 0"
        return {"values": "the number" if self.single else several, **super().layout()}

    def _entries(self, value: Tensor) -> list[Any]:
        """The K entries of one value (*event), None where unknown."""
        numbers = enumerate(self.codec.numbers_of(value))
        return [None if number is None else self.entry(number, place) for place, number in numbers]

    def cell(self, value: Tensor) -> Any:
        """A single entry, or a mapping of the known entries."""
        return self.codec.cell(self._entries(value))

    def text(self, value: Tensor) -> str:
        """The known entries as text; fractions have four digits."""
        return self.codec.text([None if entry is None else _short(entry) for entry in self._entries(value)])

    def shades(self, name: str, value: Tensor) -> Mapping[str, float | str]:
        """The known entries, by column."""
        entries = zip(self.codec.names(name), self._entries(value), strict=True)
        return {column: entry for column, entry in entries if entry is not None}

    # Networks and scores.

    def distribution(self, base: Distribution) -> Entries:
        """The distribution (N,) of values whose numbers have the distribution `base` (N, K)."""
        return Entries(base, self.single)

    def joined(self, p: Distribution) -> Distribution:
        """The distribution (N,) of values, for networks by `Parted`: `distribution`."""
        return self.distribution(p)

    @property
    def condition_size(self) -> int:
        """One feature for a single number; for several, two each: the number, and whether it is known."""
        return self.codec.feature_count

    def condition(self, x: Tensor) -> Tensor:
        """The numbers, zero if unknown; with `columns`, also a flag for each, 1 if known, else 0."""
        values, known = self.codec.split(x)
        return self.codec.features(values.float(), known)

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The mean of the known values of each number: (*event)."""
        total, count = torch.zeros(self.size, dtype=torch.float64), torch.zeros(self.size, dtype=torch.float64)
        for x in chunks:
            values, known = self.codec.split(x.cpu().double())
            total, count = total + values.sum(0), count + known.sum(0)
        return self.codec.packed((total / count.clamp(min=1)).unsqueeze(0))[0]

    def filled(self, value: Tensor, made: Tensor) -> Tensor:
        """The known numbers of `value`, and those of `made` for unknown ones."""
        (values, known), (others, made_known) = self.codec.split(value), self.codec.split(made.to(value.dtype))
        return self.codec.packed(torch.where(known, values, others), known | made_known)

    def spread(self, name: str, p: Distribution, draws: int) -> Mapping[str, Mapping[str, Tensor]]:
        """`std` of each column: the standard deviation over the draws of z and the noise of the likelihood.

        Its square is the mean of the variances plus the variance of the means. Empty if p is not an `Entries`.
        """
        if not isinstance(p, Entries):
            return {}
        mean, variance = (x.double().unflatten(0, (draws, -1)) for x in (p.base.mean, p.base.variance))
        std = (variance.mean(0) + mean.var(0, correction=0)).sqrt()
        return {column: {"std": std[:, k]} for k, column in enumerate(self.source_columns(name))}

    def known_mean(self, scores: Tensor, x: Tensor) -> Tensor:
        """The mean of `scores` (N, K) over the known numbers of x: (N,)."""
        _, known = self.codec.split(x)
        return torch.where(known, scores, torch.zeros_like(scores)).sum(1) / known.sum(1).clamp(min=1)

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The scores of `entry_scores`, averaged over the known numbers of each row: (N,) each."""
        return {metric: self.known_mean(scores, x) for metric, scores in self.entry_scores(point, x).items()}

    def detailed_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The scores of `entry_scores` for each column, in rows where it is known; none for a single number."""
        _, known = self.codec.split(x)
        return {
            _of(metric, name): scores[known[:, k], k]
            for metric, scores in self.entry_scores(point, x).items()
            for k, name in enumerate(self.columns or ())
        }

    def better(self) -> dict[str, Better]:
        """The directions of `entry_better`, for the mean over a row and for each column."""
        of_rows = dict(self.entry_better())
        of_columns = {_of(metric, name): way for metric, way in of_rows.items() for name in self.columns or ()}
        return of_rows | of_columns

    def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Named scores of each number: (N, K), with any value if the number is unknown. Default: the squared error.

        `entry_better` states the direction of each score.
        """
        predicted, true = (self.codec.split(value)[0].double() for value in (point, x))
        return {"squared_error": (predicted - true).square()}

    def entry_better(self) -> Mapping[str, Better]:
        """Whether high or low is better, for each name in `entry_scores`. Default: low for the squared error."""
        return {"squared_error": "low"}

    # Parts: the numbers.

    def part_numbers(self, x: Tensor) -> Tensor | None:
        """The numbers, 0 if unknown: (N, K)."""
        return self.codec.split(x)[0].double()

    def known_parts(self, x: Tensor) -> Tensor:
        """Which numbers are known: (N, K) bool."""
        _, known = self.codec.split(x)
        return known

    def without_parts(self, x: Tensor, parts: Tensor) -> Tensor:
        """The values with the numbers of a mask (N, K) bool unknown too; a single number stays."""
        return x if self.single else torch.where(parts.unsqueeze(1), torch.zeros_like(x), x)
