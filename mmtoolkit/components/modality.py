"""The base class of modalities: encoder, decoder with its likelihood, and how cells become tensors."""

from __future__ import annotations

import math
import textwrap
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from mmtoolkit.base.better import Better
from mmtoolkit.components.component import Component
from mmtoolkit.components.proposal import ColumnSummary, Proposal
from mmtoolkit.tables.cells import Cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch.distributions import Distribution
    from torchmetrics import Metric


# Characters and lines that a panel of a figure has room for.
_LINE, _LINES = 22, 9


@dataclass(frozen=True, eq=False)
class Parsed:
    """A column of cells as stored tensors.

    Attributes:
        stored: (N, *event) in a compact type; anything stands in rows that are not present.
        present: (N,) bool.
        faults: row -> what is wrong with its cell; such a row is not present, unless a part of its cell is sound.
    """

    stored: Tensor
    present: Tensor
    faults: Mapping[int, str] = field(default_factory=dict)


class Modality(Component):
    """One kind of data: how its cells are read, encoded, decoded, scored and shown.

    Shapes: N >= 1 is any number of rows, `event` the shape of one value. Four methods must be written:
    `event_shape`, `parse`, `encoder` and `decoder`; the others have a default. A complete modality:

    ```python
    class Reading(Modality):
        kind: Literal["reading"] = "reading"

        def event_shape(self) -> tuple[int, ...]:
            return ()

        def parse(self, cell) -> Tensor:
            return torch.tensor(float(cell))

        def encoder(self, width, extra=0) -> nn.Module:
            return ReadingEncoder(width, extra)  # its forward takes x (N,), and c (N, extra) where extra > 0

        def decoder(self, size) -> nn.Module:
            return NormalHead(size)  # its forward returns torch.distributions.Normal(mean, 1.0)
    ```
    """

    family: ClassVar[str] = "modality"
    picture: ClassVar[bool] = False
    """Whether `draw` paints a picture, which wants a square, or writes a line of text."""

    reads_files: ClassVar[bool] = False
    """Whether a cell that is a text is the path of a file, which the source looks for beside its table."""

    weight: NonNegativeFloat = 1.0
    """The weight λ of this modality's log-likelihood in the ELBO."""
    column: str | None = None
    """The source's column; the modality's name where it is left out."""

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """How a modality of this class would read a column, for a first schema of a table; None where it cannot.

        What it proposes reads the cells that were seen, or says in `about` which it does not. Default: None. `mmt init`
        asks only classes that define it themselves: an inherited one would compete with the parent's own.
        """
        return None

    @classmethod
    def propose_together(cls, columns: Sequence[ColumnSummary]) -> Proposal | None:
        """How one modality of this class would read several columns, each of which it proposed to read.

        Default: None, one modality a column.
        """
        return None

    def source_columns(self, name: str) -> tuple[str, ...]:
        """The source's columns that a modality of this name is read from.

        One where a cell is a value. Several where it is a mapping column -> value: then `assembled` joins them.
        """
        return (self.column or name,)

    def assembled(self, name: str, chunk: Mapping[str, Cells]) -> Cells:
        """The cells of a modality of this name, from a chunk of its `source_columns`. Default: the one column."""
        return chunk[self.source_columns(name)[0]]

    def by_column(self, name: str, cells: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        """What `assembled` joins, taken apart: its cells, None where missing, as those of its `source_columns`.

        Default: the one column.
        """
        return {self.source_columns(name)[0]: cells}

    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one value, of its storage and of the decoder's event: one shape all the way."""

    # Data: cell <-> stored <-> network input.

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Fill the options that were left None from the present training cells; return a validated copy.

        It is always called. The cells are read only when `chunks` is iterated, so return `self` without doing that
        where nothing is left open: the modality can then be checked where the data is absent.

        Raises:
            ValueError: the cells do not allow it; the message says why and what to do.
        """
        return self

    @abstractmethod
    def parse(self, cell: Any) -> Tensor:
        """One cell to compact storage (*event), such as uint8 pixels.

        Raises:
            ValueError: what is wrong with the cell; the core adds the split, row and column.
        """

    def typed(self, text: str) -> Any:
        """The cell that is meant by a text typed on the command line. Default: the text itself.

        Raises:
            ValueError: what is wrong with the text.
        """
        return text

    def parse_column(self, cells: Cells) -> Parsed:
        """Many cells at once, None where missing. Override it where a whole column can be read faster."""
        stored: Tensor | None = None
        present = torch.zeros(len(cells), dtype=torch.bool)
        faults: dict[int, str] = {}
        for row, cell in enumerate(cells):
            if cell is None:
                continue
            try:
                value = self.parse(cell)
                if value.shape != self.event_shape():  # it may fit by broadcasting
                    raise ValueError(f"parse gives shape {tuple(value.shape)}, not event_shape {self.event_shape()}")
                if stored is not None and value.dtype != stored.dtype:  # it would be rounded
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
        """Whether training draws anew each time a row is prepared; `prepare` then gets no keys in training."""
        return False

    def prepare(self, stored: Tensor, generator: torch.Generator | None, keys: Tensor | None) -> Tensor:
        """Stored values (N, *event) to what networks read and likelihoods score: (N, *event), on the device.

        Called once a batch, so that encoder and likelihood see the same draw.

        Args:
            stored: (N, *event), present rows only.
            generator: for draws made anew each time; None for PyTorch's default one.
            keys: (N,) int64, one for each (split, row), from which a draw is fixed for good; None where
                training draws anew (see `redraws`).
        """
        return stored

    def cell(self, value: Tensor) -> Any:
        """One value (*event), as `point` or a sample gives it, to what a table holds."""
        return value.tolist()

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The value (*event) that a prediction is compared with: the mean over prepared training rows (N, *event)."""
        total, count = torch.zeros(self.event_shape(), dtype=torch.float64), 0
        for x in chunks:
            total += x.sum(0, dtype=torch.float64).cpu()
            count += len(x)
        return (total / max(count, 1)).float()

    def example_cells(self) -> Cells:
        """Cells that this instance reads, by which it can be tried: all different, two or more, none of them None.

        Default: none; where nothing is left to learn, what its decoder with fresh weights generates is taken instead.
        """
        return ()

    # Networks.

    @abstractmethod
    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """A module from x (N, *event), and c (N, extra) where extra > 0, to features (N, width).

        The core splits width = 2 D into the mean and log-variance of a Gaussian expert.
        """

    def branch(self, width: int) -> nn.Module:
        """What an encoder of several modalities concatenates: x (N, *event) to (N, width). Default: `encoder`."""
        return self.encoder(width)

    @property
    def condition_size(self) -> int:
        """How many numbers `condition` gives. Default: those of one event."""
        return math.prod(self.event_shape())

    def condition(self, x: Tensor) -> Tensor:
        """What a conditional network is told of x (N, *event): (N, condition_size). Default: its numbers."""
        return x.reshape(len(x), -1).float()

    @abstractmethod
    def decoder(self, size: int) -> nn.Module:
        """A module from z (N, size) to a torch Distribution: batch (N,), event (*event), validate_args=False.

        The distribution is the likelihood; the core names none.
        """

    def head(self, size: int) -> nn.Module | None:
        """A module from features (N, size) to a distribution as `decoder` gives it, by a single linear layer.

        An encoder of another modality and this head are the supervised baseline. Default: None, there is no such head.
        """
        return None

    # Scoring and showing.

    def point(self, p: Distribution) -> Tensor:
        """The one value (N, *event) to show and score, always finite. Default: the mean."""
        return p.mean

    def filled(self, value: Tensor, made: Tensor) -> Tensor:
        """Observed values (N, *event), what is unknown of them taken from `made` (N, *event). Default: nothing is."""
        return value

    def average(self, p: Distribution, draws: int) -> Any:
        """P over draws * N rows, draw-major, as one statement a row: what `metrics` read.

        Default: mean and standard deviation over draws of the mean, each (N, *event).
        """
        mean = p.mean.unflatten(0, (draws, -1))
        return mean.mean(0), mean.std(0, correction=0)

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The one value (N, *event) to show of p over draws * N rows, draw-major: the `point` of all draws together.

        Default: the mean over draws of each one's point; where points are whole numbers, such as places in a list,
        the one that most draws give, the smallest among equals.
        """
        points = self.point(p).unflatten(0, (draws, -1))
        value: Tensor = points.mean(0) if points.is_floating_point() else points.mode(0).values
        return value

    def spread(self, name: str, p: Distribution, draws: int) -> Mapping[str, Mapping[str, Tensor]]:
        """How far p over draws * N rows, draw-major, leaves the cells of a modality of this name open.

        Source column -> what is told of it -> (N,) numbers, such as a standard deviation or a probability: the columns
        COLUMN_WHAT that imputing by draws adds. What there is depends on the options alone. Default: nothing.
        """
        return {}

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Named scores of a prediction `point` (N, *event) against x (N, *event): (N,) each.

        `better` says of each whether high or low is better. Default: the squared error, averaged over the numbers of
        the event.
        """
        return {"squared_error": (point.float() - x.float()).square().reshape(len(x), -1).mean(1)}

    def detailed_scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Named scores of parts of a value, such as one of its columns: (n,) each, n <= N. Default: none.

        A number for each row of x (N, *event) that has the part: which rows these are depends on x alone.
        """
        return {}

    def better(self) -> Mapping[str, Better]:
        """Whether high or low is better, for each name that `scores` and `detailed_scores` give.

        A score that is not named here is written without a direction, and nothing ranks it. Default: the squared error
        is better low.
        """
        return {"squared_error": "low"}

    def metrics(self) -> dict[str, Metric]:
        """Named torchmetrics for what is no mean over rows, such as calibration: `update(average, x)`.

        Whether high or low is better is the metric's own `higher_is_better`, True or False.
        """
        return {}

    def text(self, value: Tensor) -> str:
        """One value (*event) in a table or caption."""
        return str(self.cell(value))

    def named(self, name: str, value: Tensor) -> str:
        """One value (*event) in a caption that tells of several modalities; empty where it need not be told."""
        return f"{name} {self.text(value)}"

    def shades(self, name: str, value: Tensor) -> Mapping[str, float | str]:
        """What can colour the point of a row in a picture of many rows, such as one of the latent space.

        A number on a scale, or the name of a group, under the name of the column that it tells of: the modality's own
        name where a cell is one value, and where it holds several the known ones' columns. Default: nothing can.
        """
        return {}

    def draw(self, value: Tensor, axes: Axes) -> None:
        """One value (*event) in a figure; `axes` come without ticks. Default: its text, wrapped to fit."""
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
