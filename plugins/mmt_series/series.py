"""The series modality: numbers at times in a row, of which some may be unknown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.distributions import Distribution

from mmt_series.cells import LARGEST, Reader
from mmt_series.columns import read_columns
from mmt_series.decimals import decimals_of, rounded
from mmt_series.drawing import draw_series
from mmt_series.gaps import KnownPlaces, Standardised, split_known
from mmt_series.moments import SMALLEST, Spread
from mmt_series.proposals import series_proposal
from mmtoolkit import (
    MLP,
    Architecture,
    Better,
    Cells,
    ColumnSummary,
    Conv,
    Form,
    GaussianLikelihood,
    Likelihood,
    Parsed,
    Part,
    Parted,
    Proposal,
    Records,
    Series,
    StudentTLikelihood,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLACE = Field(ge=-LARGEST, le=LARGEST)
_SPREAD = Field(ge=SMALLEST, le=LARGEST)


class SeriesModality(Parted):
    """A time series: numbers at equal steps of time, of which some may be unknown.

    A cell is a list of numbers with null where one is unknown, an array with NaN there, or a text that holds such a
    list as JSON. With `channels: C` it is a list of lists of C numbers, one for each time, or an array (time, C). A
    cell that is shorter than `length` has an unknown end. With `columns`, each number has a column of its own.

    Encoders read which numbers are known, and the likelihood scores these alone. Its log-density refers to your unit.
    """

    kind: Literal["series"] = "series"
    gives: ClassVar[type[Form]] = Series
    picture = True

    length: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    """The number of times. By default that of the longest training cell, or of `columns`."""
    channels: PositiveInt | None = None
    """How many numbers there are at each time. By default one, and a cell is a plain list."""
    columns: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The columns of the source in the order of time, one for each number. By default one column of lists."""
    network: Part[Architecture] = Conv()
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood] = GaussianLikelihood()
    """The distribution of a number given z."""
    mean: tuple[Annotated[float, _PLACE], ...] | None = None
    """The mean of each channel, for standardisation. By default learned; for a robust likelihood, such as student_t,
    the median."""
    std: tuple[Annotated[float, _SPREAD], ...] | None = None
    """The standard deviation of each channel, for standardisation. By default learned; for a robust likelihood, that of
    a normal distribution with the same quartiles."""
    decimals: Annotated[int, Field(ge=0)] | None = None
    """How many decimals a predicted number has: whole numbers have 0. A table with known numbers that have more
    overrides it. By default learned with `mean`, `std` and `length`; if you give these, numbers are not rounded."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.columns is not None:
            duplicate = next((name for name in self.columns if self.columns.count(name) > 1), None)
            if duplicate is not None:
                raise ValueError(f"the column {duplicate!r} is named twice; name each once")
            if self.column is not None:
                raise ValueError("column and columns are both given; keep columns for numbers, column for lists")
            if self.channels is not None:
                raise ValueError("columns hold one number at each time; remove channels, or write lists in one column")
            if self.length not in (None, len(self.columns)):
                raise ValueError(f"length is {self.length} and there are {len(self.columns)} columns; remove length")
        for option in ("mean", "std"):
            numbers = getattr(self, option)
            if numbers is not None and len(numbers) != (self.channels or 1):
                raise ValueError(f"{option} has {len(numbers)} entries and there are {self.channels or 1} channels")
        return self

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of lists of numbers."""
        return series_proposal(column)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A list of numbers, two channels with outliers, and numbers in columns."""
        yield cls(network=Conv(channels=8, width=16))
        yield cls(channels=2, network=Conv(channels=8, width=16, norm="layer"), likelihood=StudentTLikelihood())
        yield cls(columns=("h00", "h06", "h12"), network=MLP(width=16))

    def example_cells(self) -> Cells:
        """Series of 7 times, or of as many as the options say; one number of some is unknown."""
        length, channels = (self.length or 7) if self.columns is None else len(self.columns), self.channels or 1
        numbers = np.arange(4 * length * channels).reshape(4, length, channels) * 5 % 9 + 1
        values: list[Any] = (numbers * (0.1 if self.likelihood.support == "unit" else 1.0)).tolist()
        for row, place in ((1, 0), (2, length // 2), (3, length - 1)):
            values[row][place][0] = None if length * channels > 1 else values[row][place][0]
        if self.channels is None:
            values = [[numbers[0] for numbers in cell] for cell in values]
        if self.columns is None:
            return values
        return [
            {name: number for name, number in zip(self.columns, cell, strict=True) if number is not None}
            for cell in values
        ]

    def source_columns(self, name: str) -> tuple[str, ...]:
        """The columns of the source: `columns`, or the one of lists."""
        return self.columns or super().source_columns(name)

    def assembled(self, name: str, chunk: Mapping[str, Cells]) -> Cells:
        """The cells of the one column, or a mapping column -> number for each row of several."""
        return super().assembled(name, chunk) if self.columns is None else Records({c: chunk[c] for c in self.columns})

    def by_column(self, name: str, cells: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        """The cells of the one column, or the numbers of each of several."""
        if self.columns is None:
            return super().by_column(name, cells)
        return {column: [None if cell is None else cell.get(column) for cell in cells] for column in self.columns}

    def style(self, column: ColumnSummary) -> Callable[[Any], Any]:
        """Write numbers with the decimals of the known ones, and lists as JSON where the column holds texts."""
        decimals = self.decimals
        if decimals is not None:
            decimals = max([decimals, *map(decimals_of, self._known(column.cells))])
        as_text = self.columns is None and (column.texts is not None or (not column.cells and column.text_format))
        return lambda cell: json.dumps(rounded(cell, decimals)) if as_text else rounded(cell, decimals)

    def _known(self, cells: Cells) -> Iterator[NDArray[np.float64]]:
        """The numbers of a column's cells."""
        if self.columns is not None:
            yield self._reader().column(cells)[0]
            return
        parts, _ = self._numbers(cells)
        yield from parts.values()

    # Data.

    @property
    def times(self) -> int:
        """L, the number of times.

        Raises:
            ValueError: it is not known yet.
        """
        length = self.length if self.columns is None else len(self.columns)
        if length is None:
            raise ValueError("length is not known yet; give it, or let `fit` learn it")
        return length

    def event_shape(self) -> tuple[int, ...]:
        """(2, L), or (2, C, L) with channels: the numbers, and a flag for each, 1 if known, else 0."""
        return (2, self.times) if self.channels is None else (2, self.channels, self.times)

    def form(self) -> Form:
        """Numbers at times in a row, with gaps."""
        if self.mean is None or self.std is None:
            raise ValueError("mean and std are not known yet; give both, or let `fit` learn them")
        support = self.likelihood.support
        return Series(self.channels or 1, self.times, gaps=True, support=support, shift=self.mean, scale=self.std)

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn the length, and mean, standard deviation and decimals of the known numbers."""
        if None not in (self.mean, self.std, self.length or self.columns):
            return self
        spread, length, decimals, fault = Spread(self.channels or 1, self.likelihood.robust), 0, 0, ""
        for cells in chunks:
            parts, faults = self._numbers(cells)
            fault = fault or next(iter(faults.values()), "")
            length = max(length, max(map(len, parts.values()), default=0))
            if parts:
                values = np.concatenate(list(parts.values()))
                decimals = max(decimals, decimals_of(values))
                with np.errstate(divide="ignore"):
                    read = self.likelihood.read(torch.from_numpy(values)).numpy()
                spread.add(read)
        if (channel := spread.empty()) is not None:
            where = f" in channel {channel + 1}" if self.channels else ""
            first = f" (the first fault: {fault})" if fault else ""
            raise ValueError(f"there is no number{where}{first}; mend the data, or give length, mean and std")
        mean, std = spread.result()
        return self.with_options(
            length=self.length or (length if self.columns is None else None),
            mean=self.mean or mean,
            std=self.std or std,
            decimals=decimals if self.decimals is None else self.decimals,
        )

    def parse(self, cell: Any) -> Tensor:
        """The numbers of one cell and which are known, float64 (*event)."""
        parsed = self.parse_column([cell])
        if parsed.faults:
            raise ValueError(parsed.faults[0])
        if not parsed.present[0]:
            raise ValueError("it has no known number; give one, or leave the cell empty")
        return parsed.stored[0]

    def parse_column(self, cells: Cells) -> Parsed:
        """Read each cell at once. A faulty number is unknown; the rest of its cell stays."""
        length = self.times
        values = np.full((len(cells), self.channels or 1, length), np.nan)
        parts, faults = self._numbers(cells)
        for row, numbers in parts.items():
            if len(numbers) > length:
                faults[row] = (
                    f"it has {len(numbers)} times, and length is {length}; set length: {len(numbers)}, or cut it"
                )
            else:
                values[row, :, : len(numbers)] = numbers.T
        known = ~np.isnan(values)
        stored = np.stack([np.where(known, values, 0.0), known], axis=1).reshape(len(cells), *self.event_shape())
        return Parsed(torch.from_numpy(stored), torch.from_numpy(known.any((1, 2))), dict(sorted(faults.items())))

    def typed(self, text: str) -> Any:
        """The text itself; for numbers in columns, a list in the order of time or a mapping, both as JSON."""
        if self.columns is None:
            return text
        try:
            cell = json.loads(text)
        except (ValueError, RecursionError):
            cell = None
        if isinstance(cell, list) and len(cell) <= len(self.columns):
            return dict(zip(self.columns, cell, strict=False))
        if not isinstance(cell, Mapping):
            raise ValueError(
                f'{text!r} is no list of up to {len(self.columns)} numbers and no {{"{self.columns[0]}": 1}}'
            )
        return cell

    def layout(self) -> dict[str, Any]:
        """With what stands where in a value."""
        order = "times" if self.channels is None else "channels, then times"
        return {
            "values": f"the numbers ({order}), 0 where unknown, and a flag for each, 1 if known, else 0",
            **super().layout(),
        }

    def cell(self, value: Tensor) -> Any:
        """A list with None where a number is unknown, or a mapping of the known numbers of `columns`."""
        values, known = split_known(value.unsqueeze(0).double())
        rows = [
            [number if there else None for number, there in zip(numbers, flags, strict=True)]
            for numbers, flags in zip(values[0].T.tolist(), known[0].T.tolist(), strict=True)
        ]
        if self.channels is not None:
            return rows
        numbers = [row[0] for row in rows]
        if self.columns is None:
            return numbers
        return {name: number for name, number in zip(self.columns, numbers, strict=True) if number is not None}

    def _reader(self) -> Reader:
        return Reader(self.channels, self.likelihood.support)

    def _numbers(self, cells: Cells) -> tuple[dict[int, NDArray[np.float64]], dict[int, str]]:
        """Row -> its numbers (T, C), NaN where unknown, if it has some; and row -> fault."""
        faults: dict[int, str]
        if self.columns is not None:
            values, faults = read_columns(self._reader(), self.columns, cells)
            return dict(enumerate(values)), faults
        reader, parts, faults = self._reader(), {}, {}
        for row, cell in enumerate(cells):
            if cell is None:
                continue
            try:
                parts[row], of_places = reader.read(cell)
            except ValueError as error:
                faults[row] = str(error)
                continue
            if of_places:
                faults[row] = ". ".join(of_places)
        return parts, faults

    # Networks.

    def reader(self) -> nn.Module:
        """Standardised numbers, 0 where unknown, and a flag for each."""
        return Standardised(self.form(), self.likelihood)

    def joined(self, p: Distribution) -> Distribution:
        """The numbers are independent given z; only the known ones are scored."""
        return KnownPlaces(p, self.event_shape())

    @property
    def condition_size(self) -> int:
        """Two for each number: itself, and whether it is known."""
        return 2 * (self.channels or 1) * self.times

    def condition(self, x: Tensor) -> Tensor:
        """The standardised numbers, 0 where unknown, and a flag for each."""
        standardised: Tensor = self.reader().to(x.device)(x)
        return standardised.flatten(1).float()

    # Scoring and showing.

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The mean of the known numbers at each place; where there is none, the mean of the channel."""
        places = (self.channels or 1, self.times)
        total, count = torch.zeros(places, dtype=torch.float64), torch.zeros(places, dtype=torch.float64)
        for x in chunks:
            values, known = split_known(x.cpu().double())
            total, count = total + values.sum(0), count + known.sum(0)
        of_channel = total.sum(1, keepdim=True) / count.sum(1, keepdim=True).clamp(min=1)
        mean = torch.where(count > 0, total / count.clamp(min=1), of_channel)
        return torch.stack([mean, torch.ones_like(mean)]).reshape(self.event_shape())

    def filled(self, value: Tensor, made: Tensor) -> Tensor:
        """The known numbers of `value`, and those of `made` for unknown ones."""
        known = (value[:, 1] > 0.5).unsqueeze(1)
        return torch.where(known, value, made.to(value.dtype))

    def known_parts(self, x: Tensor) -> Tensor:
        """Which numbers are known: (N, C L) bool."""
        return split_known(x)[1].flatten(1)

    def part_numbers(self, x: Tensor) -> Tensor | None:
        """The numbers, 0 if unknown: (N, C L)."""
        return split_known(x)[0].flatten(1).double()

    def without_parts(self, x: Tensor, parts: Tensor) -> Tensor:
        """The values x (N, *event) with the numbers of a mask (N, C L) bool unknown too."""
        return torch.where(parts.reshape(x[:, :1].shape), torch.zeros_like(x), x)

    def spread(self, name: str, p: Distribution, draws: int) -> Mapping[str, Mapping[str, Tensor]]:
        """`std` of each of `columns`: the standard deviation over the draws of z and the noise of the likelihood."""
        if self.columns is None or not isinstance(p, KnownPlaces):
            return {}
        mean, variance = (x.double().squeeze(1).unflatten(0, (draws, -1)) for x in (p.base.mean, p.base.variance))
        std = (variance.mean(0) + mean.var(0, correction=0)).sqrt()
        return {column: {"std": std[:, place]} for place, column in enumerate(self.columns)}

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The squared and the absolute error, averaged over the known numbers of each row: (N,) each."""
        known = split_known(x)[1]
        count = known.sum((1, 2)).clamp(min=1)
        return {name: (error * known).sum((1, 2)) / count for name, error in self._errors(point, x).items()}

    def detailed_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The errors in each channel, or in each of `columns`, over the rows that have a known number there."""
        known, errors = split_known(x)[1], self._errors(point, x)
        scores: dict[str, Tensor] = {}
        for part, name in self._parts():
            count = known[part].flatten(1).sum(1)
            for metric, error in errors.items():
                total = (error * known)[part].flatten(1).sum(1)
                scores[f"{metric} of {name}"] = total[count > 0] / count[count > 0]
        return scores

    def better(self) -> dict[str, Better]:
        """Errors are better low."""
        names = ["squared_error", "absolute_error"]
        details = [f"{metric} of {part}" for metric in names for _, part in self._parts()]
        return dict.fromkeys([*names, *details], "low")

    def _errors(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Each number's squared and absolute error in its unit, (N, C, L)."""
        off = split_known(point)[0].double() - split_known(x)[0].double()
        return {"squared_error": off.square(), "absolute_error": off.abs()}

    def _parts(self) -> Iterator[tuple[Any, str]]:
        """The index and the name of each channel, or of each column, in tensors (N, C, L)."""
        for place, name in enumerate(self.columns or ()):
            yield (slice(None), slice(None), place), name
        for channel in range(self.channels or 0):
            yield (slice(None), channel), f"channel {channel + 1}"

    def text(self, value: Tensor) -> str:
        """How many numbers are known, and their range."""
        values, known = split_known(value.unsqueeze(0))
        numbers = values[known]
        if not len(numbers):
            return "unknown"
        some = "" if known.all() else f"{len(numbers)} of "
        ending = "" if known.numel() == 1 else "s"
        return f"{some}{known.numel()} number{ending}, {numbers.min():.3g} to {numbers.max():.3g}"

    def draw(self, value: Tensor, axes: Axes) -> None:
        """A line for each channel, broken where numbers are unknown, with a dot at each known number."""
        standardised, known = self.reader()(value.detach().cpu().unsqueeze(0))[0].chunk(2)
        draw_series(torch.where(known > 0.5, standardised, torch.nan).numpy(), axes)
