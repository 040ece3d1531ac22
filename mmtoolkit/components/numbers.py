"""The base class of modalities whose values are numbers: one, or several of which some may be unknown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
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
from mmtoolkit.components.modality import Modality, Parsed
from mmtoolkit.components.records import Records
from mmtoolkit.tables.cells import Cells


def _of(metric: str, column: str) -> str:
    """The name of a column's own score."""
    return f"{metric} of {column}"


def split_entries(x: Tensor, single: bool) -> tuple[Tensor, Tensor]:
    """A value of K numbers as their values and which are known.

    Args:
        x: (N, 2, K), values and 0 or 1 where known.
        single: whether x is rather (N,), one number each and all of them known.

    Returns:
        (N, K), zero where unknown, and (N, K) bool; K = 1 for single numbers.
    """
    if single:
        # Not len(x), by which an export would fix the number of rows.
        return x.unsqueeze(1), torch.ones(x.shape[0], 1, dtype=torch.bool, device=x.device)
    values, known = x.unbind(1)
    known = known > 0.5
    return torch.where(known, values, torch.zeros((), dtype=x.dtype, device=x.device)), known


def _short(entry: Any) -> str:
    return f"{entry:.4g}" if isinstance(entry, float) else str(entry)


class Entries(Distribution):
    """Independent numbers of which only the known ones are scored.

    Args:
        base: batch (N, K), a distribution of each number, with a finite mean inside its support.
        single: whether a value is a single number, (N,) with K = 1, rather than (N, 2, K).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012

    def __init__(self, base: Distribution, single: bool) -> None:
        self.base, self.single = base, single
        rows, size = base.batch_shape
        super().__init__(torch.Size([rows]), torch.Size([] if single else [2, size]), validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """The sum over known numbers of their log-probability: (N,), nats."""
        values, known = split_entries(x, self.single)
        # A density may overflow at 0 and make gradients NaN through the mask; at its own mean it is finite.
        log_probs = self.base.log_prob(torch.where(known, values, self.base.mean.detach().to(values)))
        return torch.where(known, log_probs, torch.zeros_like(log_probs)).sum(1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """A draw of every number, all of them known."""
        return self.whole(self.base.sample(sample_shape))

    @property
    def mean(self) -> Tensor:
        """The mean of every number, all of them known."""
        return self.whole(self.base.mean)

    def whole(self, values: Tensor) -> Tensor:
        """Numbers (..., N, K) as a value of which everything is known: (..., N) or (..., N, 2, K)."""
        return values.squeeze(-1) if self.single else torch.stack([values, torch.ones_like(values)], dim=-2)


class NumberModality(Modality):
    """A number a row, or K of them, each from a column of its own and each known or not.

    With `columns` a cell is a mapping column -> value. An entry that is absent or None is unknown; a row of which
    all is unknown is a missing cell. Its event is (2, K): the numbers, and 1 where known. Without `columns` a
    cell is a single value, and the event is (). A subclass says what an entry of a cell stands for (`number`,
    `entry`), and brings encoder and decoder: `split_entries` and `Entries` serve both forms, told which by `single`.
    """

    columns: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The source's columns, one for each number; one number, from `column`, where left out."""

    @field_validator("columns")
    @classmethod
    def _distinct_columns(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = next((name for name in columns or () if (columns or ()).count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the column {twice!r} is named twice; name each once")
        return columns

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if self.columns is not None and self.column is not None:
            raise ValueError("column and columns are both given; keep columns for several numbers, column for one")
        return self

    @property
    def single(self) -> bool:
        """Whether a value is a single number, (N,), rather than (N, 2, K)."""
        return self.columns is None

    @property
    def size(self) -> int:
        """K, how many numbers a value has."""
        return 1 if self.columns is None else len(self.columns)

    def source_columns(self, name: str) -> tuple[str, ...]:
        """The columns, or the one of a single number."""
        return self.columns or super().source_columns(name)

    def assembled(self, name: str, chunk: Mapping[str, Cells]) -> Cells:
        """The one column, or a mapping a row of several."""
        return super().assembled(name, chunk) if self.columns is None else Records({c: chunk[c] for c in self.columns})

    def event_shape(self) -> tuple[int, ...]:
        """() for a single number; (2, K) for several: the numbers, and 1 where known."""
        return () if self.single else (2, self.size)

    def by_column(self, name: str, cells: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        """The one column, or the entries of each of several."""
        if self.columns is None:
            return super().by_column(name, cells)
        return {column: [None if cell is None else cell.get(column) for cell in cells] for column in self.columns}

    # Cells.

    @abstractmethod
    def number(self, cell: Any, place: int) -> float:
        """The number that a cell, or the entry of the column at `place`, stands for; NaN for one that is unknown.

        Raises:
            ValueError: what is wrong with it, and what to do.
        """

    @abstractmethod
    def entry(self, number: float, place: int) -> Any:
        """What a table holds for a number of the column at `place`."""

    def example_cells(self) -> Cells:
        """The entries of 0, 1, 2 and 3; of several columns some are unknown."""
        if self.columns is None:
            return [self.entry(float(n), 0) for n in range(4)]
        entries = [{name: self.entry(float((n + k) % 4), k) for k, name in enumerate(self.columns)} for n in range(4)]
        first = self.columns[0]
        without = {name: cell for name, cell in entries[2].items() if name != first}
        return [*entries, {first: entries[1][first]}, without]

    def numbers(self, cells: Cells, place: int) -> tuple[NDArray[np.float64], dict[int, str]]:
        """A column of cells, None where unknown, as numbers (N,), NaN where unknown or at fault, and the faults.

        Default: `number` of each distinct cell.
        """
        found = np.full(len(cells), np.nan)
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
                found[row] = value
        return found, faults

    def parse(self, cell: Any) -> Tensor:
        """One cell as float64 (*event)."""
        parsed = self.parse_column([cell])
        if parsed.faults:
            raise ValueError(parsed.faults[0])
        if not parsed.present[0]:
            raise ValueError("nothing of it is known; give a value, or leave the cell empty")
        return parsed.stored[0]

    def parse_column(self, cells: Cells) -> Parsed:
        """Column by column. An entry at fault is unknown; the rest of its row stays."""
        if self.columns is None:
            values, faults = self.numbers(cells, 0)
            known = ~np.isnan(values)
            return Parsed(torch.from_numpy(np.where(known, values, 0.0)), torch.from_numpy(known), faults)
        stored = np.zeros((len(cells), 2, self.size))
        told: dict[int, list[str]] = {}
        columns = cells.columns if isinstance(cells, Records) else self._columns_of(cells, told)
        for place, name in enumerate(self.columns):
            values, entry_faults = self.numbers(columns[name], place)
            known = ~np.isnan(values)
            stored[:, 0, place], stored[:, 1, place] = np.where(known, values, 0.0), known
            for row, fault in entry_faults.items():
                told.setdefault(row, []).append(f"{name}: {fault}")
        present = torch.from_numpy(stored[:, 1].any(1))
        return Parsed(torch.from_numpy(stored), present, {row: ". ".join(lines) for row, lines in told.items()})

    def _columns_of(self, cells: Cells, told: dict[int, list[str]]) -> dict[str, Sequence[Any]]:
        """Mappings turned to columns; what is no mapping, or names no column, is told by row."""
        assert self.columns is not None
        rows: list[Mapping[str, Any]] = []
        for row, cell in enumerate(cells):
            if cell is not None and not isinstance(cell, Mapping):
                told[row] = [f"{cell!r} is no mapping; write {{{self.columns[0]}: VALUE}}"]
            elif unknown := [str(name) for name in cell or () if name not in self.columns]:
                told[row] = [f"there is no column {unknown[0]!r}; the columns are {', '.join(self.columns)}"]
            rows.append(cell if isinstance(cell, Mapping) else {})
        return {name: [cell.get(name) for cell in rows] for name in self.columns}

    def typed(self, text: str) -> Any:
        """Of several numbers, the mapping that is written as YAML: `{Male: 1}`."""
        if self.columns is None:
            return text
        try:
            cell = read_yaml(text, "it").data if text.strip() else text
        except UserError as error:
            raise ValueError(f"{error}; write {{{self.columns[0]}: VALUE}}") from error
        if not isinstance(cell, Mapping):
            raise ValueError(f"{cell!r} is no mapping; write {{{self.columns[0]}: VALUE}}")
        return cell

    def cell(self, value: Tensor) -> Any:
        """A single entry, or a mapping of the known ones."""
        if self.columns is None:
            return self.entry(float(value), 0)
        numbers, known = value.tolist()
        return {name: self.entry(numbers[k], k) for k, name in enumerate(self.columns) if known[k] > 0.5}

    def text(self, value: Tensor) -> str:
        """What a table holds for each number that is known, of a fraction four digits."""
        cell = self.cell(value)
        if self.columns is None:
            return _short(cell)
        return ", ".join(f"{name}={_short(entry)}" for name, entry in cell.items()) or "unknown"

    def shades(self, name: str, value: Tensor) -> Mapping[str, float | str]:
        """Each known entry."""
        cell = self.cell(value)
        return {name: cell} if self.columns is None else cell

    # Networks and scores.

    def distribution(self, base: Distribution) -> Entries:
        """The distribution (N,) of a value whose numbers have the distribution `base` (N, K)."""
        return Entries(base, self.single)

    @property
    def condition_size(self) -> int:
        """A number each, and whether it is known where there are several."""
        return 1 if self.single else 2 * self.size

    def condition(self, x: Tensor) -> Tensor:
        """The known numbers, zero where unknown, and where there are several 1 for each that is known."""
        values, known = split_entries(x, self.single)
        return values.float() if self.single else torch.cat([values.float(), known.float()], dim=1)

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The mean of what is known of each number, (*event)."""
        total, count = torch.zeros(self.size, dtype=torch.float64), torch.zeros(self.size, dtype=torch.float64)
        for x in chunks:
            values, known = split_entries(x.cpu().double(), self.single)
            total, count = total + values.sum(0), count + known.sum(0)
        mean = total / count.clamp(min=1)
        return mean[0] if self.single else torch.stack([mean, torch.ones_like(mean)])

    def filled(self, value: Tensor, made: Tensor) -> Tensor:
        """The known numbers, and those of `made` where unknown."""
        if self.single:
            return value
        known = split_entries(value, self.single)[1].unsqueeze(1)
        return torch.where(known, value, made.to(value.dtype))

    def spread(self, name: str, p: Distribution, draws: int) -> Mapping[str, Mapping[str, Tensor]]:
        """`std` of each column: the standard deviation of the number, over the draws of z and the likelihood's own.

        Its square is the mean of the variances plus the variance of the means. Nothing where p is no `Entries`.
        """
        if not isinstance(p, Entries):
            return {}
        mean, variance = (x.double().unflatten(0, (draws, -1)) for x in (p.base.mean, p.base.variance))
        std = (variance.mean(0) + mean.var(0, correction=0)).sqrt()
        return {column: {"std": std[:, k]} for k, column in enumerate(self.source_columns(name))}

    def known_mean(self, scores: Tensor, x: Tensor) -> Tensor:
        """The mean over the known numbers of x of a score of each, (N, K) to (N,)."""
        known = split_entries(x, self.single)[1]
        return torch.where(known, scores, torch.zeros_like(scores)).sum(1) / known.sum(1).clamp(min=1)

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """What `entry_scores` gives, averaged over the known numbers of a row."""
        return {metric: self.known_mean(scores, x) for metric, scores in self.entry_scores(point, x).items()}

    def detailed_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """What `entry_scores` gives of each column, in the rows that know it; nothing of a single number."""
        known = split_entries(x, self.single)[1]
        return {
            _of(metric, name): scores[known[:, k], k]
            for metric, scores in self.entry_scores(point, x).items()
            for k, name in enumerate(self.columns or ())
        }

    def better(self) -> dict[str, Better]:
        """What `entry_better` says, for the mean over a row and for each column."""
        of_rows = dict(self.entry_better())
        of_columns = {_of(metric, name): way for metric, way in of_rows.items() for name in self.columns or ()}
        return of_rows | of_columns

    def entry_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Named scores of each number: (N, K), anything where x does not know it. Default: the squared error.

        `entry_better` says of each whether high or low is better.
        """
        said, true = (split_entries(value, self.single)[0].double() for value in (point, x))
        return {"squared_error": (said - true).square()}

    def entry_better(self) -> Mapping[str, Better]:
        """Whether high or low is better, for each name that `entry_scores` gives. Default: the squared error, low."""
        return {"squared_error": "low"}
