"""A modality and what its checks look at: its cells read, prepared, and given to networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.base.words import one_line, shorten
from mmtoolkit.components import Modality, Parsed
from mmtoolkit.tables.cells import Cells
from mmtoolkit.testing.promises import networks_of

ROWS = 12
WIDTH = 6
SIZE = 4
EXTRA = 3


class Subject:
    """A modality, cells that it reads, and cells that it must refuse.

    Args:
        modality: as its author makes it; what is open is learned from the cells.
        cells: good ones; its `example_cells` where left out, or else what its decoder generates.
        bad: cells that are at fault.
    """

    def __init__(self, modality: Modality, cells: Cells | None = None, bad: Sequence[Any] = ()) -> None:
        self.given = modality
        self.bad = list(bad)
        self._cells = cells

    @cached_property
    def cells(self) -> list[Any]:
        """The good cells.

        Raises:
            ValueError: there is none, and none can be generated.
        """
        found = list(self.given.example_cells() if self._cells is None else self._cells)
        if found:
            return found
        if is_open(self.given):
            raise ValueError(f"example_cells gives no cells, and {self.given.kind} must learn from some; give cells")
        p = networks_of(lambda: self.given.decoder(SIZE))(torch.randn(ROWS, SIZE))
        return [self.given.cell(value) for value in p.sample()]

    @cached_property
    def modality(self) -> Modality:
        """With what is open learned from the cells."""
        return self.given.fit(iter([self.cells]))

    @cached_property
    def parsed(self) -> Parsed:
        """The good cells, read as a column."""
        return self.modality.parse_column(self.cells)

    @cached_property
    def stored(self) -> Tensor:
        """The cells that are read, (N, *event), again and again to 12 rows."""
        stored = self.parsed.stored[self.parsed.present]
        if not len(stored):
            faults = "; ".join(list(self.parsed.faults.values())[:1])
            raise ValueError(f"none of the {len(self.cells)} example cells can be read: {faults}; write example_cells")
        return stored[torch.arange(max(ROWS, len(stored))) % len(stored)]

    @cached_property
    def keys(self) -> Tensor:
        """(N,) int64."""
        return torch.arange(len(self.stored)) + 2**40

    @cached_property
    def x(self) -> Tensor:
        """What networks read, (N, *event)."""
        return self.modality.prepare(self.stored, None, self.keys)

    @cached_property
    def draws(self) -> bool:
        """Whether `prepare` draws, so that a value in between, such as a mean, need not come back."""
        prepared = [self.modality.prepare(self.stored, None, self.keys + shift) for shift in range(8)]
        return any(not torch.equal(prepared[0], other) for other in prepared[1:])

    @property
    def event(self) -> tuple[int, ...]:
        """The promised shape of a value."""
        return tuple(self.modality.event_shape())

    def back(self, values: Tensor) -> Tensor:
        """Values (n, *event) as cells, read and prepared again.

        Raises:
            ValueError: a value's cell cannot be read.
        """
        cells = [self.modality.cell(value) for value in values]
        parsed = self.modality.parse_column(cells)
        if not parsed.present.all():
            row = int((~parsed.present).nonzero()[0])
            fault = parsed.faults.get(row, "it counts as missing")
            raise ValueError(f"the cell {shown(cells[row])} that cell gives is not read: {fault}")
        return self.modality.prepare(parsed.stored, None, torch.arange(len(values)))

    # Networks.

    def encoder(self, extra: int = 0) -> nn.Module:
        """An encoder to 6 features, the same each time."""
        return networks_of(lambda: self.modality.encoder(WIDTH, extra))

    def decoder(self) -> nn.Module:
        """A decoder of z (N, 4), the same each time."""
        return networks_of(lambda: self.modality.decoder(SIZE))

    @cached_property
    def z(self) -> Tensor:
        """Latent variables (N, 4) of as many rows."""
        return torch.randn(len(self.x), SIZE, generator=torch.Generator().manual_seed(1))

    @cached_property
    def p(self) -> Distribution:
        """The distribution of the decoder at z."""
        with torch.no_grad():
            p: Distribution = self.decoder()(self.z)
        return p


class Untouchable:
    """Training cells that must not be asked for."""

    class TouchedError(Exception):
        """They were."""

    def __iter__(self) -> Iterator[Any]:
        raise self.TouchedError


def is_open(modality: Modality) -> bool:
    """Whether a modality must learn something from training cells."""
    try:
        modality.fit(Untouchable())
    except Untouchable.TouchedError:
        return True
    return False


def shown(cell: Any) -> str:
    """A cell in a sentence, cut where it is long."""
    return shorten(one_line(repr(cell)), 60)
