"""The base class of modalities whose values are numbers: one per row, or several, some possibly unknown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from torch.distributions import Distribution, constraints

from mmtoolkit.base.better import Better
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.components.faults import Faults
from mmtoolkit.components.modality import Modality, Parsed
from mmtoolkit.components.records import Records
from mmtoolkit.tables.cells import Cells


def _of(metric: str, column: str) -> str:
    """The name of a score of one column."""
    return f"{metric} of {column}"


def split_entries(x: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    """Split a tensor of numbers into the values and a mask of the known ones.

    Args:
        x: (N, 2, K), the values, and a flag for each, 1 if known, else 0; with `single`, (N,), all known.
        single: whether each row has a single number.

    Returns:
        The values, (N, K), zero if unknown, and the mask, (N, K) bool. K is 1 for single numbers.
    """
    if single:
        # len(x) would fix the number of rows in an exported network.
        return x.unsqueeze(1), torch.ones(x.shape[0], 1, dtype=torch.bool, device=x.device)
    values, known = x.unbind(1)
    known = known > 0.5
    return torch.where(known, values, torch.zeros((), dtype=x.dtype, device=x.device)), known


def _short(entry: Any) -> str:
    return f"{entry:.4g}" if isinstance(entry, float) else str(entry)


class Entries(Distribution):
    """A distribution of independent numbers that scores only the known ones.

    Args:
        base: the distribution of each number, batch (N, K), with a finite mean inside its support.
        single: whether values are single numbers, (N,) with K = 1, rather than (N, 2, K).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012

    def __init__(self, base: Distribution, single: bool) -> None:
        self.base, self.single = base, single
        rows, size = base.batch_shape
        super().__init__(torch.Size([rows]), torch.Size([] if single else [2, size]), validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-probability, summed over the known numbers of each row: (N,), nats."""
        values, known = split_entries(x, self.single)
        # At 0 a density may overflow, and gradients become NaN in spite of the mask. At its mean it is finite.
        log_probs = self.base.log_prob(torch.where(known, values, self.base.mean.detach().to(values)))
        return torch.where(known, log_probs, torch.zeros_like(log_probs)).sum(1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw every number; all are known."""
        return self.whole(self.base.sample(sample_shape))

    @property
    def mean(self) -> Tensor:
        """The mean of every number; all are known."""
        return self.whole(self.base.mean)

    def whole(self, values: Tensor) -> Tensor:
        """Pack numbers (..., N, K) as values with all numbers known: (..., N) if single, else (..., N, 2, K)."""
        return values.squeeze(-1) if self.single else torch.stack([values, torch.ones_like(values)], dim=-2)


class NumberModality(Modality):
    """The base class of modalities with one number per row, or K numbers from K columns, some possibly unknown.

    Without `columns`, a cell is a single value and the event is (). With `columns`, a cell is a mapping column -> value
    and the event is (2, K): the numbers, and a flag for each, 1 if known, else 0. An entry that is absent or None is
    unknown; a row without a known entry is a missing cell.

    A subclass converts entries to numbers and back (`number`, `entry`) and defines encoder and decoder.
    `split_entries` and `Entries` handle both forms; pass them `single`.
    """

    columns: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The columns of the source, one for each number. By default one number, from `column`."""

    @field_validator("columns")
    @classmethod
    def _distinct_columns(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        duplicate = next((name for name in columns or () if (columns or ()).count(name) > 1), None)
        if duplicate is not None:
            raise ValueError(f"the column {duplicate!r} is named twice; name each once")
        return columns

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if self.columns is not None and self.column is not None:
            raise ValueError("column and columns are both given; keep columns for several numbers, column for one")
        return self

    @property
    def single(self) -> bool:
        """Whether values are single numbers, (N,), rather than (N, 2, K)."""
        return self.columns is None

    @property
    def size(self) -> int:
        """K, the number of numbers in a value."""
        return 1 if self.columns is None else len(self.columns)

    def source_columns(self, name: str) -> tuple[str, ...]:
        """The columns of the source: `columns`, or the one of a single number."""
        return self.columns or super().source_columns(name)

    def assembled(self, name: str, chunk: Mapping[str, Cells]) -> Cells:
        """The cells of the one column, or a mapping column -> value for each row of several."""
        return super().assembled(name, chunk) if self.columns is None else Records({c: chunk[c] for c in self.columns})

    def event_shape(self) -> tuple[int, ...]:
        """() for a single number; (2, K) for several: the numbers, and a flag for each, 1 if known, else 0."""
        return () if self.single else (2, self.size)

    def by_column(self, name: str, cells: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        """The cells of the one column, or the entries of each of several."""
        if self.columns is None:
            return super().by_column(name, cells)
        return {column: [None if cell is None else cell.get(column) for cell in cells] for column in self.columns}

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

    def example_cells(self) -> Cells:
        """Cells with the entries of 0, 1, 2 and 3; with several columns, some entries are unknown."""
        if self.columns is None:
            return [self.entry(float(n), 0) for n in range(4)]
        entries = [{name: self.entry(float((n + k) % 4), k) for k, name in enumerate(self.columns)} for n in range(4)]
        first = self.columns[0]
        without = {name: cell for name, cell in entries[2].items() if name != first}
        return [*entries, {first: entries[1][first]}, without]

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
        if self.columns is None:
            values, faults = self.numbers(cells, 0)
            known = ~np.isnan(values)
            return Parsed(torch.from_numpy(np.where(known, values, 0.0)), torch.from_numpy(known), faults)
        stored = np.zeros((len(cells), 2, self.size))
        of_rows: dict[int, str] = {}
        columns = cells.columns if isinstance(cells, Records) else self._columns_of(cells, of_rows)
        of_columns: dict[str, Mapping[int, str]] = {}
        for place, name in enumerate(self.columns):
            values, of_columns[name] = self.numbers(columns[name], place)
            known = ~np.isnan(values)
            stored[:, 0, place], stored[:, 1, place] = np.where(known, values, 0.0), known
        present = torch.from_numpy(stored[:, 1].any(1))

        def described(row: int) -> str:
            of_entries = [f"{name}: {faults[row]}" for name, faults in of_columns.items() if row in faults]
            return ". ".join([*([of_rows[row]] if row in of_rows else []), *of_entries])

        rows = dict.fromkeys(chain(of_rows, *of_columns.values()))
        return Parsed(torch.from_numpy(stored), present, Faults({row: row for row in rows}, described))

    def _columns_of(self, cells: Cells, faults: dict[int, str]) -> dict[str, Sequence[Any]]:
        """Turn mappings into columns; add a fault for each row that is not a mapping or names an unknown column."""
        assert self.columns is not None
        rows: list[Mapping[str, Any]] = []
        for row, cell in enumerate(cells):
            if cell is not None and not isinstance(cell, Mapping):
                faults[row] = f"{cell!r} is not a mapping; write {{{self.columns[0]}: VALUE}}"
            elif unknown := [str(name) for name in cell or () if name not in self.columns]:
                faults[row] = f"there is no column {unknown[0]!r}; the columns are {', '.join(self.columns)}"
            rows.append(cell if isinstance(cell, Mapping) else {})
        return {name: [cell.get(name) for cell in rows] for name in self.columns}

    def typed(self, text: str) -> Any:
        """The text itself; for several numbers, read it as a mapping in YAML, such as `{Male: 1}`."""
        if self.columns is None:
            return text
        try:
            cell = read_yaml(text, "it").data if text.strip() else text
        except UserError as error:
            raise ValueError(f"{error}; write {{{self.columns[0]}: VALUE}}") from error
        if not isinstance(cell, Mapping):
            raise ValueError(f"{cell!r} is not a mapping; write {{{self.columns[0]}: VALUE}}")
        return cell

    def cell(self, value: Tensor) -> Any:
        """A single entry, or a mapping of the known entries."""
        if self.columns is None:
            return self.entry(float(value), 0)
        numbers, known = value.tolist()
        return {name: self.entry(numbers[k], k) for k, name in enumerate(self.columns) if known[k] > 0.5}

    def text(self, value: Tensor) -> str:
        """The known entries as text; fractions have four digits."""
        cell = self.cell(value)
        if self.columns is None:
            return _short(cell)
        return ", ".join(f"{name}={_short(entry)}" for name, entry in cell.items()) or "unknown"

    def shades(self, name: str, value: Tensor) -> Mapping[str, float | str]:
        """The known entries, by column."""
        cell = self.cell(value)
        return {name: cell} if self.columns is None else cell

    # Networks and scores.

    def distribution(self, base: Distribution) -> Entries:
        """The distribution (N,) of values whose numbers have the distribution `base` (N, K)."""
        return Entries(base, self.single)

    @property
    def condition_size(self) -> int:
        """One feature for a single number; for several, two each: the number, and whether it is known."""
        return 1 if self.single else 2 * self.size

    def condition(self, x: Tensor) -> Tensor:
        """The numbers, zero if unknown; with `columns`, also a flag for each, 1 if known, else 0."""
        values, known = split_entries(x, self.single)
        return values.float() if self.single else torch.cat([values.float(), known.float()], dim=1)

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The mean of the known values of each number: (*event)."""
        total, count = torch.zeros(self.size, dtype=torch.float64), torch.zeros(self.size, dtype=torch.float64)
        for x in chunks:
            values, known = split_entries(x.cpu().double(), self.single)
            total, count = total + values.sum(0), count + known.sum(0)
        mean = total / count.clamp(min=1)
        return mean[0] if self.single else torch.stack([mean, torch.ones_like(mean)])

    def filled(self, value: Tensor, made: Tensor) -> Tensor:
        """The known numbers of `value`, and those of `made` for unknown ones."""
        if self.single:
            return value
        known = split_entries(value, self.single)[1].unsqueeze(1)
        return torch.where(known, value, made.to(value.dtype))

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
        known = split_entries(x, self.single)[1]
        return torch.where(known, scores, torch.zeros_like(scores)).sum(1) / known.sum(1).clamp(min=1)

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The scores of `entry_scores`, averaged over the known numbers of each row: (N,) each."""
        return {metric: self.known_mean(scores, x) for metric, scores in self.entry_scores(point, x).items()}

    def detailed_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The scores of `entry_scores` for each column, in rows where it is known; none for a single number."""
        known = split_entries(x, self.single)[1]
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
        predicted, true = (split_entries(value, self.single)[0].double() for value in (point, x))
        return {"squared_error": (predicted - true).square()}

    def entry_better(self) -> Mapping[str, Better]:
        """Whether high or low is better, for each name in `entry_scores`. Default: low for the squared error."""
        return {"squared_error": "low"}
