"""The tensors that exported programs read: of each modality, its shape and type."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Modality


@dataclass(frozen=True)
class Slot:
    """An input of a program.

    Attributes:
        name: of the input.
        shape: of one row.
        dtype: of its numbers.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def zeros(self, rows: int) -> Tensor:
        """Zeros (rows, *shape)."""
        return torch.zeros(rows, *self.shape, dtype=self.dtype)

    def example(self, rows: int, generator: torch.Generator) -> Tensor:
        """Numbers from 0 to 1 (rows, *shape): zeros if they are whole, and of booleans half are true."""
        uniform = torch.rand(rows, *self.shape, generator=generator)
        return uniform < 0.5 if self.dtype == torch.bool else uniform.to(self.dtype)


def slots_of(modalities: Mapping[str, Modality]) -> dict[str, Slot]:
    """The slot of each modality: name -> slot, of values as `prepare` returns them.

    Raises:
        UserError: a modality reads none of its own examples.
    """
    return {name: Slot(name, tuple(of.event_shape()), _dtype(name, of)) for name, of in modalities.items()}


def _dtype(name: str, modality: Modality) -> torch.dtype:
    """The type of prepared values, from the modality's own examples, or else from what its decoder makes."""
    cells = modality.example_cells()
    if not len(cells):
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            p = modality.decoder(1).eval()(torch.zeros(2, 1))
        cells = [modality.cell(value) for value in modality.point(p)]
    parsed = modality.parse_column(cells)
    if not parsed.present.any():
        raise UserError(f"{name}: cannot be exported: its {modality.kind} reads none of its example_cells; correct it")
    stored = parsed.stored[parsed.present]
    return modality.prepare(stored, None, torch.arange(len(stored))).dtype


def free_name(name: str, taken: Container[str]) -> str:
    """A name for an input that is no modality: with underscores, if a modality is called so."""
    while name in taken:
        name += "_"
    return name
