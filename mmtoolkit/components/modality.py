"""The base class of modalities: how to read, encode, decode, score and show one kind of data."""

from __future__ import annotations

import textwrap
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from pydantic import NonNegativeFloat, field_validator
from torch import Tensor, nn

from mmtoolkit.base.better import Better
from mmtoolkit.components.proposal import Proposal
from mmtoolkit.components.unit import Unit
from mmtoolkit.core.parameters import parameters_of
from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.reading import sign_list
from mmtoolkit.tables.summary import ColumnSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch.distributions import Distribution
    from torchmetrics import Metric


# The characters per line and the lines that fit into a panel of a figure.
_LINE, _LINES = 22, 9


@dataclass(frozen=True, eq=False)
class Parsed:
    """A column of cells as stored tensors.

    Attributes:
        stored: (N, *event) in a compact type. Rows that are not present may hold any value.
        present: which rows have a value, (N,) bool.
        faults: row -> the fault of its cell, in a dictionary or in `Faults`, which compose a text when it is read. Such
            a row is not present, unless a part of its cell can be read.
    """

    stored: Tensor
    present: Tensor
    faults: Mapping[int, str] = field(default_factory=dict)


def _unchanged(cell: Any) -> Any:
    return cell


class Modality(Unit):
    """The base class of modalities: how to read, encode, decode, score and show one kind of data.

    In shapes, N >= 1 is any number of rows and `event` is the shape of one value. You write four methods:
    `event_shape`, `parse`, `encoder` and `decoder`. The others have a default. A complete modality:

    ```python
    class Reading(Modality):
        kind: Literal["reading"] = "reading"

        def event_shape(self) -> tuple[int, ...]:
            return ()

        def parse(self, cell) -> Tensor:
            try:
                number = float(cell)
            except (TypeError, ValueError, OverflowError):
                number = math.nan
            if not abs(number) < 1e30:  # NaN is not either
                raise ValueError(f"{cell!r} is no finite number; write one such as 3.5")
            return torch.tensor(number)

        def encoder(self, width, extra=0) -> nn.Module:
            return ReadingEncoder(width, extra)  # its forward takes x (N,), and c (N, extra) if extra > 0

        def decoder(self, size) -> nn.Module:
            return NormalHead(size)  # its forward returns torch.distributions.Normal(mean, 1.0)
    ```
    """

    picture: ClassVar[bool] = False
    """Whether `draw` paints a picture, which needs a square panel, rather than a line of text."""

    reads_files: ClassVar[bool] = False
    """Whether a text cell is the path of a file. The source then looks for the file beside its table."""

    stepwise: ClassVar[bool] = False
    """Whether the distribution of each part of a value depends on the parts before it, as that of each symbol of a text
    on those before. An exported decoder then reads a value too."""

    weight: NonNegativeFloat = 1.0
    """The weight λ of this modality's log-likelihood in the ELBO."""
    column: str | None = None
    """The column of the source. By default the name of the modality."""
    modelled: bool = True
    """Whether the model learns this modality. One that it does not is read, can colour pictures, and can be classified
    by the evaluator `classifier`; the model is never given it and never predicts it."""
    missing: tuple[str, ...] | None = None
    """Texts or numbers that mean a missing cell in the modality's columns, besides those of the source. A cell is one
    of them if it has the same text or is the same number: -99 takes -99, -99.0 and "-99"."""

    _missing_as_list = field_validator("missing", mode="before")(sign_list)

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose how to read a column, for the first schema of a table; None if this class cannot read it.

        The proposal must read the cells of the summary, or name in `about` those that it does not. Default: None.
        `mmt init` asks only classes that define this method themselves, since an inherited one would compete with the
        parent's.
        """
        return None

    def members(self, name: str) -> Mapping[str, Modality]:
        """Itself."""
        return {name: self}

    def with_members(self, members: Mapping[str, Self]) -> Self:
        """The one member."""
        (member,) = members.values()
        return member

    def source_columns(self, name: str) -> tuple[str, ...]:
        """The columns of the source that hold a modality of this name.

        There is one if each cell is a value, and several if each cell is a mapping column -> value; `assembled` joins
        those.
        """
        return (self.column or name,)

    def assembled(self, name: str, chunk: Mapping[str, Cells]) -> Cells:
        """Join a chunk of the `source_columns` to cells of this modality. Default: the cells of its one column."""
        return chunk[self.source_columns(name)[0]]

    def by_column(self, name: str, cells: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        """Split cells (None if missing) into the cells of each of the `source_columns`, the inverse of `assembled`.

        Default: the one column.
        """
        return {self.source_columns(name)[0]: cells}

    def style(self, column: ColumnSummary) -> Callable[[Any], Any]:
        """A function that writes a predicted cell as a column of a user's table writes its own.

        It takes a cell from `by_column` that is not None. `column` has the known cells of the column, which may differ
        in spelling or type from the cells that the modality learned from; it has none if the table has no known cell
        there. Default: the cell as it is.
        """
        return _unchanged

    def fixed_cells(self) -> Sequence[str]:
        """All texts that a cell can be, such as the names of classes. Default: none, there is no such list."""
        return ()

    # Data: cell <-> stored <-> network input.

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn the options that are None from the present training cells, and return a validated copy.

        It is always called. Iterating `chunks` reads the cells. If there is nothing to learn, return `self` without
        iterating; the modality can then be checked without the data.

        Raises:
            ValueError: the options cannot be learned from these cells; the message states the reason and the remedy.
        """
        return self

    @abstractmethod
    def parse(self, cell: Any) -> Tensor:
        """Convert one cell to a tensor (*event) of a compact type, such as uint8 pixels.

        Raises:
            ValueError: the cell cannot be read; the message states the fault. The caller adds split, row and column.
        """

    def typed(self, text: str) -> Any:
        """Convert a text typed on the command line to a cell. Default: the text itself.

        Raises:
            ValueError: the text cannot be read; the message states the fault.
        """
        return text

    def parse_column(self, cells: Cells) -> Parsed:
        """Parse many cells at once; missing ones are None. Override it if you can read a whole column faster."""
        stored: Tensor | None = None
        present = torch.zeros(len(cells), dtype=torch.bool)
        faults: dict[int, str] = {}
        for row, cell in enumerate(cells):
            if cell is None:
                continue
            try:
                value = self.parse(cell)
                if not isinstance(value, Tensor):
                    raise TypeError(f"parse gives {type(value).__name__}; it must return a tensor")
                if value.shape != self.event_shape():  # assignment would broadcast it
                    raise ValueError(f"parse gives shape {tuple(value.shape)}, not event_shape {self.event_shape()}")
                if stored is not None and value.dtype != stored.dtype:  # assignment would round it
                    raise ValueError(f"parse gives {value.dtype} here and {stored.dtype} before; give one type")
            except (TypeError, ValueError) as error:
                faults[row] = str(error)
                continue
            if stored is None:
                stored = torch.zeros(len(cells), *self.event_shape(), dtype=value.dtype)
            stored[row] = value
            present[row] = True
        if stored is None:
            stored = torch.zeros(len(cells), *self.event_shape())
        return Parsed(stored, present, faults)

    @property
    def redraws(self) -> bool:
        """Whether `prepare` draws new values for a row each time in training; it then receives no keys there."""
        return False

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        """Convert stored values to the values that networks read and likelihoods score: (N, *event), on the device.

        It is called once per batch, so encoder and likelihood see the same draw.

        Args:
            stored: (N, *event), present rows only.
            generator: for random draws; None for PyTorch's default generator.
            keys: (N,) int64, one for each (split, row), to make a draw that never changes; None if training draws
                new values each time (see `redraws`).
        """
        return stored

    def cell(self, value: Tensor) -> Any:
        """Convert one value (*event), such as a `point` or a sample, to a cell of a table."""
        return value.tolist()

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The value (*event) to compare predictions with: by default the mean of prepared training rows (N, *event)."""
        total, count = torch.zeros(self.event_shape(), dtype=torch.float64), 0
        for x in chunks:
            total += x.sum(0, dtype=torch.float64).cpu()
            count += len(x)
        return (total / max(count, 1)).float()

    def example_cells(self) -> Cells:
        """Cells to test this instance with: two or more, all different, none of them None.

        Default: none. A modality with nothing to learn is then tested with values from its untrained decoder.
        """
        return ()

    # Networks.

    def head(self, size: int) -> nn.Module | None:
        """A module with one linear layer that maps features (N, size) to a distribution like the decoder's.

        The encoder of another modality and this head form the supervised baseline. Default: None, no such head.
        """
        return None

    # Scoring and showing.

    def point(self, p: Distribution) -> Tensor:
        """The point estimate (N, *event) to show and score; always finite. Default: the mean."""
        return p.mean

    def known_parts(self, x: Tensor) -> Tensor:
        """Which parts of prepared values x (N, *event) are known: (N, P) bool, on the device of x.

        Parts are what may be unknown within a value, such as the columns of a vector or the times of a series. P never
        changes, not even for N = 0. A present value has a known part; a value from the decoder has no unknown one.
        Write `without_parts` and `filled` too if P > 1. Default: one part, known.
        """
        return torch.ones(x.shape[0], 1, dtype=torch.bool, device=x.device)

    def without_parts(self, x: Tensor, parts: Tensor) -> Tensor:
        """The values x (N, *event) with the `parts` (N, P) bool unknown too. Default: x, whose one part stays known."""
        return x

    def filled(self, value: Tensor, made: Tensor) -> Tensor:
        """Observed values (N, *event), with their unknown parts taken from `made` (N, *event). Default: as observed."""
        return value

    def part_numbers(self, x: Tensor) -> Tensor | None:
        """The parts of values x (N, *event) as numbers: (N, P) float64, 0 where unknown, in the order of `known_parts`.

        If the modality has `fixed_cells`, they are the numbers of classes, else quantities whose differences say how
        far apart two are. Probes of z predict them, and quantities get intervals. Default: the values themselves if a
        value is one number; else None, they are no such numbers.
        """
        return x.double().unsqueeze(1) if self.event_shape() == () else None

    def exported(self, p: Distribution, x: Tensor | None) -> dict[str, Tensor]:
        """What an exported decoder returns of the decoder's distribution p: name -> (N, ...).

        Default: its parameters by name, and `point`.

        Args:
            p: of N rows.
            x: values (N, *event), if the modality is `stepwise`.
        """
        return {**parameters_of(p), "point": self.point(p)}

    def not_exported(self) -> Mapping[str, str]:
        """What exported programs do not compute of this modality -> why, and what to do instead. Default: nothing."""
        return {}

    def layout(self) -> dict[str, Any]:
        """How a cell becomes a value, as plain data for programs that cannot call `parse` and `prepare`.

        `values` says it in words, and other keys hold what these words name. Default: the `fixed_cells` as `classes`.
        """
        return {"classes": list(cells)} if (cells := self.fixed_cells()) else {}

    def average(self, p: Distribution, draws: int) -> Any:
        """Average p, with draws * N rows in draw-major order, over draws; the input of `metrics`.

        Default: the mean and the standard deviation, over draws, of p's mean: (N, *event) each.
        """
        mean = p.mean.unflatten(0, (draws, -1))
        return mean.mean(0), mean.std(0, correction=0)

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The point estimate (N, *event) from all draws of p, with draws * N rows in draw-major order.

        Default: the mean of the draws' points. If points are integers, such as class indices: their most frequent
        value, the smallest one in a tie.
        """
        points = self.point(p).unflatten(0, (draws, -1))
        value: Tensor = points.mean(0) if points.is_floating_point() else points.mode(0).values
        return value

    def spread(self, name: str, p: Distribution, draws: int) -> Mapping[str, Mapping[str, Tensor]]:
        """The uncertainty of the cells of a modality of this name under p, with draws * N rows in draw-major order.

        Returns source column -> name of a measure, such as a standard deviation or a probability -> (N,) numbers.
        Imputing by draws adds them as columns COLUMN_MEASURE. The names depend only on the options. Default: none.
        """
        return {}

    def effect(self, p: Distribution, without: Distribution, draws: int) -> Tensor:
        """What a given does to a prediction: p, from all that is given, against that without it: (N,) float64.

        Default: the change of the predicted number if a value is one number that is no class; else the change of the
        log-probability of the value that p predicts, in nats. Both have draws * N rows in draw-major order.
        """
        value, other = self.predicted(p, draws), self.predicted(without, draws)
        numbers, others = self.part_numbers(value), self.part_numbers(other)
        if self.event_shape() == () and numbers is not None and others is not None and not self.fixed_cells():
            return (numbers - others)[:, 0]
        x = value.repeat(draws, *[1] * (value.ndim - 1))
        new, old = (of.log_prob(x).double().unflatten(0, (draws, -1)) for of in (p, without))
        change: Tensor = new.logsumexp(0) - old.logsumexp(0)
        return change

    def predicted(self, p: Distribution, draws: int) -> Tensor:
        """The prediction (N, *event) from one draw of z, `point`, or from several, `pooled`."""
        return self.pooled(p, draws) if draws > 1 else self.point(p)

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Named scores of a prediction `point` (N, *event) against x (N, *event): (N,) each.

        `better` states the direction of each score. Default: the squared error, averaged over the event.
        """
        return {"squared_error": (point.float() - x.float()).square().reshape(len(x), -1).mean(1)}

    def detailed_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Named scores of parts of a value, such as one of its columns: (n,) each, n <= N. Default: none.

        A score has one number for each row of x (N, *event) that has the part. Only x decides which rows these are.
        """
        return {}

    def better(self) -> Mapping[str, Better]:
        """Whether high or low is better, for each name in `scores` and `detailed_scores`.

        A score that is not named here has no direction and is never ranked. Default: low for the squared error.
        """
        return {"squared_error": "low"}

    def metrics(self) -> dict[str, Metric]:
        """Named torchmetrics for scores that are not a mean over rows, such as calibration. Default: none.

        They are called as `update(average, x)`. Their `higher_is_better`, True or False, is their direction.
        """
        return {}

    def text(self, value: Tensor) -> str:
        """One value (*event) as text, for a table or caption."""
        return str(self.cell(value))

    def named(self, name: str, value: Tensor) -> str:
        """One value (*event) as text with the modality's name, for a caption of several; empty to omit it."""
        return f"{name} {self.text(value)}"

    def shades(self, name: str, value: Tensor) -> Mapping[str, float | str]:
        """Values that can colour the point of a row in a picture of many rows, such as one of the latent space.

        Returns name -> a number on a scale, or the name of a group. The name is the modality's if a cell is one value;
        otherwise there is one for each known column. Default: none.
        """
        return {}

    def draw(self, value: Tensor, axes: Axes) -> None:
        """Draw one value (*event) on axes without ticks. Default: its text, wrapped to fit."""
        lines = textwrap.wrap(self.text(value), _LINE, max_lines=_LINES, placeholder=" …")
        longest = max(map(len, lines), default=1)
        axes.text(
            0.5,
            0.5,
            "\n".join(lines),
            ha="center",
            va="center",
            fontsize=max(5.0, min(8.0, 8.0 * 14 / longest, 8.0 * 6 / len(lines or [""]))),
            transform=axes.transAxes,
            parse_math=False,  # a class may be named $5
        )


def members_of(units: Mapping[str, Unit]) -> dict[str, Modality]:
    """The modalities of units, in order: name -> modality."""
    return {name: modality for unit, of in units.items() for name, modality in of.members(unit).items()}


def with_learned(units: Mapping[str, Unit], modalities: Mapping[str, Modality]) -> dict[str, Unit]:
    """The units with their modalities as `modalities` has them, which have learned options."""
    return {unit: of.with_members({name: modalities[name] for name in of.members(unit)}) for unit, of in units.items()}


def modelled_units(units: Mapping[str, Unit]) -> dict[str, Unit]:
    """The units with those of their modalities that the model sees; those without any are left out."""
    seen = {unit: {n: m for n, m in of.members(unit).items() if m.modelled} for unit, of in units.items()}
    return {unit: units[unit].with_members(members) for unit, members in seen.items() if members}
