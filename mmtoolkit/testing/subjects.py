"""A modality under test, with its cells read, prepared and encoded for the checks; and what any unit has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.base.words import one_line, shorten
from mmtoolkit.components import Modality, Parsed, Unit
from mmtoolkit.tables.cells import Cells
from mmtoolkit.testing.promises import networks_of

ROWS = 12
WIDTH = 6
SIZE = 4
EXTRA = 3


class Networked(ABC):
    """A unit under test, and its networks."""

    @property
    @abstractmethod
    def unit(self) -> Unit:
        """The unit, with nothing left open."""

    @property
    @abstractmethod
    def x(self) -> Tensor:
        """The input of its networks, (N, *event)."""

    def encoder(self, extra: int = 0) -> nn.Module:
        """An encoder to 6 features, with the same weights each time."""
        return networks_of(lambda: self.unit.encoder(WIDTH, extra))

    def decoder(self) -> nn.Module:
        """A decoder of z (N, 4), with the same weights each time."""
        return networks_of(lambda: self.unit.decoder(SIZE))

    @cached_property
    def z(self) -> Tensor:
        """Latent variables (N, 4), a row for each of x."""
        return torch.randn(len(self.x), SIZE, generator=torch.Generator().manual_seed(1))

    @cached_property
    def p(self) -> Distribution:
        """The decoder's distribution at z."""
        with torch.no_grad():
            p: Distribution = self.decoder()(self.z)
        return p


class Subject(Networked):
    """A modality, cells that it reads, and cells that it must reject.

    Args:
        modality: as its author makes it; `fit` fills its open options from the cells.
        cells: good ones; by default its `example_cells`, or else the cells that its decoder generates.
        bad: cells that it must reject.
    """

    def __init__(self, modality: Modality, cells: Cells | None = None, bad: Sequence[Any] = ()) -> None:
        self.original = modality
        self.bad = list(bad)
        self._cells = cells

    @cached_property
    def cells(self) -> list[Any]:
        """The good cells.

        Raises:
            ValueError: there are none, and the decoder cannot generate any.
        """
        cells = list(self.original.example_cells() if self._cells is None else self._cells)
        if cells:
            return cells
        if is_open(self.original):
            raise ValueError(
                f"example_cells returns no cells, and {self.original.kind} must learn from some; write example_cells, "
                "or pass cells"
            )
        p = networks_of(lambda: self.original.decoder(SIZE))(torch.randn(ROWS, SIZE))
        return [self.original.cell(value) for value in p.sample()]

    @cached_property
    def modality(self) -> Modality:
        """The modality, fitted to the cells."""
        return self.original.fit(iter([self.cells]))

    @cached_property
    def parsed(self) -> Parsed:
        """The good cells, read as a column."""
        return self.modality.parse_column(self.cells)

    @cached_property
    def stored(self) -> Tensor:
        """The readable cells, (N, *event), repeated to 12 rows or more."""
        stored = self.parsed.stored[self.parsed.present]
        if not len(stored):
            faults = "; ".join(list(self.parsed.faults.values())[:1])
            raise ValueError(
                f"parse_column can read none of the {len(self.cells)} example cells: {faults}; write example_cells"
            )
        return stored[torch.arange(max(ROWS, len(stored))) % len(stored)]

    @cached_property
    def keys(self) -> Tensor:
        """(N,) int64."""
        return torch.arange(len(self.stored)) + 2**40

    @property
    def unit(self) -> Unit:
        """The modality."""
        return self.modality

    @cached_property
    def x(self) -> Tensor:
        """The input of networks, (N, *event)."""
        return self.modality.prepare(self.stored, None, self.keys)

    @cached_property
    def draws(self) -> bool:
        """Whether `prepare` draws at random, so that a value such as a mean need not come back unchanged."""
        prepared = [self.modality.prepare(self.stored, None, self.keys + shift) for shift in range(8)]
        return any(not torch.equal(prepared[0], other) for other in prepared[1:])

    @property
    def event(self) -> tuple[int, ...]:
        """The `event_shape`."""
        return tuple(self.modality.event_shape())

    def read_back(self, values: Tensor) -> Tensor:
        """Write values (n, *event) as cells, then read and prepare these.

        Raises:
            ValueError: a value's cell cannot be read.
        """
        cells = [self.modality.cell(value) for value in values]
        parsed = self.modality.parse_column(cells)
        if not parsed.present.all():
            row = int((~parsed.present).nonzero()[0])
            fault = parsed.faults.get(row, "it counts as missing")
            raise ValueError(f"cell returns {quote(cells[row])}, which parse_column cannot read: {fault}")
        return self.modality.prepare(parsed.stored, None, torch.arange(len(values)))


class Untouchable:
    """Training cells that raise an error if anybody reads them."""

    class TouchedError(Exception):
        """Somebody read the cells."""

    def __iter__(self) -> Iterator[Any]:
        raise self.TouchedError


def is_open(modality: Modality) -> bool:
    """Whether a modality must learn something from training cells."""
    try:
        modality.fit(Untouchable())
    except Untouchable.TouchedError:
        return True
    return False


def quote(cell: Any) -> str:
    """A cell for a sentence, shortened to 60 characters."""
    return shorten(one_line(repr(cell)), 60)
