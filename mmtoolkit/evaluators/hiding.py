"""Draws what to hide of rows: cells, and parts of values that have several, such as the columns of a vector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality, Network
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.keyed import keyed_uniform


def count_parts(modality: Modality) -> int:
    """P, the number of parts of a modality's values."""
    return modality.known_parts(torch.zeros(1, *modality.event_shape())).shape[1]


@dataclass(frozen=True, eq=False)
class Hidden:
    """What is hidden of a batch of B rows.

    Attributes:
        cells: which cells are missing now, (B, M) bool, on the host.
        parts: modality with several parts -> which known parts of its n present values are hidden, (n, P) bool, on the
            device.
    """

    cells: Tensor
    parts: Mapping[str, Tensor]

    def observed(self, batch: Batch, modalities: Mapping[str, Modality]) -> Batch:
        """The batch without what is hidden. A value whose known parts are all hidden is a missing cell."""
        values = {
            name: modalities[name].without_parts(batch.value(name), self.parts[name])
            if name in self.parts
            else batch.value(name)
            for name in batch.names
        }
        rows = {name: batch.rows(name) for name in batch.names}
        return Batch.of_present(batch.size, values, rows).where(~self.cells)

    def targets(self, batch: Batch) -> Tensor:
        """The cells of which something is hidden: (B, M) bool, on the host."""
        targets = self.cells.clone()
        for name, parts in self.parts.items():
            targets[batch.rows(name), batch.names.index(name)] = parts.any(1).cpu()
        return targets

    def truth(self, batch: Batch, name: str, modality: Modality) -> Tensor:
        """The values (n, *event) of a modality of which something is hidden; only what is hidden is known in them."""
        value = batch.value(name)
        if name in self.parts:
            parts = self.parts[name]
            places = parts.any(1)
            return modality.without_parts(value[places], ~parts[places])
        hidden = self.cells[batch.rows(name), batch.names.index(name)]
        return value.index_select(0, sent(hidden.nonzero().squeeze(1), value.device))


class Hiding:
    """Draws what to hide of some rows.

    A known cell is hidden with the probability of its modality. If its value has several parts, each known part is,
    and the cell is missing if none stays. Nothing is hidden of a row that lacks one of the model's conditions. If z
    could not be inferred from the rest of a row, hidden cells return in random order until it can, those with several
    parts by one of them.

    Args:
        model: infers z.
        shares: name -> the probability; 0 by default.
        rows: (N,) int64, the numbers of the rows.
        present: (N, M) bool, in schema order, on the host.
        generator: for the draws; those of parts depend only on its seed and the row's number.
        whole: whether to hide whole cells also where values have several parts.
    """

    def __init__(
        self,
        model: Network,
        shares: Mapping[str, float],
        rows: Tensor,
        present: Tensor,
        generator: torch.Generator,
        whole: bool = False,
    ) -> None:
        self.model, self.shares, self.rows, self.present = model, shares, rows, present
        names = tuple(model.modalities)
        self._draw, self._order = torch.rand(2, *present.shape, generator=generator, device=generator.device).cpu()
        self._share = torch.tensor([shares.get(name, 0.0) for name in names])
        self._conditions = [names.index(name) for name in model.conditions]
        self._seeds = {
            name: seed_for("hidden parts", name, generator.initial_seed())
            for name in names
            if name in shares and not whole and count_parts(model.modalities[name]) > 1
        }
        self.hidden: Counter[str] = Counter()
        """Modality -> how many of its cells, or of its parts if it has several, are hidden so far."""
        self.known: Counter[str] = Counter()
        """Modality -> how many of them were known."""

    @property
    def parted(self) -> tuple[str, ...]:
        """The modalities whose parts are hidden one by one."""
        return tuple(self._seeds)

    def of(self, batch: Batch, start: int) -> Hidden:
        """What is hidden of a batch: of the rows from the place `start` on."""
        rows = slice(start, start + batch.size)
        present, order = batch.present, self._order[rows]
        ready = present[:, self._conditions].all(1)
        cells = present & (self._draw[rows] < self._share) & ready.unsqueeze(1)
        parts, part_order, known = {}, {}, {}
        for name in self.parted:
            value, places = batch.value(name), batch.rows(name)
            known[name] = self.model.modalities[name].known_parts(value)
            keys = sent(self.rows[rows][places] + self._seeds[name], value.device)
            draw, part_order[name] = keyed_uniform(keys, (2, known[name].shape[1])).unbind(1)
            parts[name] = known[name] & (draw < self.shares[name]) & sent(ready[places], value.device).unsqueeze(1)
            cells[places, batch.names.index(name)] = ~(known[name] & ~parts[name]).any(1).cpu()

        def uninformed() -> Tensor:
            return ~self.model.informed(present & ~cells)

        while len(blind := (cells.any(1) & uninformed()).nonzero().squeeze(1)):
            back = torch.where(cells, order, -1.0)[blind].argmax(1)
            cells[blind, back] = False
            for name in self.parted:
                returning = blind[back == batch.names.index(name)]
                places = sent(torch.searchsorted(batch.rows(name), returning), parts[name].device)
                first = torch.where(parts[name], part_order[name], -1.0)[places].argmax(1)
                parts[name][places, first] = False
        for name in self.parted:  # nothing is hidden of a row that says nothing about z even as a whole
            parts[name] &= sent(~uninformed()[batch.rows(name)], parts[name].device).unsqueeze(1)
        for m, name in enumerate(batch.names):
            self.hidden[name] += int((parts[name] if name in parts else cells[:, m]).sum())
            self.known[name] += int((known[name] if name in known else present[:, m]).sum())
        return Hidden(cells, parts)

    def note(self) -> str:
        """A line on how much is hidden."""
        whole = [name for name in self.known if name not in self.parted]
        hidden = [f"{self._ratio(whole)} observed cells"] if whole else []
        hidden += [f"{self._ratio(self.parted)} known parts ({', '.join(self.parted)})"] if self.parted else []
        return f"{' and '.join(hidden)} of {len(self.rows):,} rows were hidden"

    def _ratio(self, names: Iterable[str]) -> str:
        return " of ".join(f"{sum(counts[name] for name in names):,}" for counts in (self.hidden, self.known))
