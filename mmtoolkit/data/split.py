"""The rows of one split as stored columns, and their batches."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmtoolkit.components import Modality, Unit
from mmtoolkit.components.modality import modelled_units
from mmtoolkit.core.batch import Batch, Block, sent


@dataclass(frozen=True)
class Split:
    """The rows of one split: a stored column for each modality, also one that the model does not see, and its rows.

    Attributes:
        name: the name of the split.
        modalities: name -> modality, in schema order.
        stored: name -> (N, *event) in its compact type, on any device.
        present: which rows have which modality, (N, M) bool, on the host.
        records: the modalities of each record, whose prepared values stand in one block.
    """

    name: str
    modalities: Mapping[str, Modality]
    stored: Mapping[str, Tensor]
    present: Tensor
    records: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.present)

    def batch(self, rows: Tensor, device: torch.device, redraw: bool = False) -> Batch:
        """A batch of rows, with values as the networks read them.

        Args:
            rows: (B,) int64, on the host.
            device: the device of the values.
            redraw: whether modalities that draw new values in training do so here, from PyTorch's default generator.
        """
        present = self.present.index_select(0, rows)
        beside = _unmodelled(self.modalities)
        blocks = {
            names: Block(
                sent(block.index_select(0, sent(rows, block.device)), device),
                present if len(columns) == len(self.modalities) else present[:, columns],
                dtypes,
            )
            for names, (block, columns, dtypes) in self._blocks.items()
        }
        seen = None if beside else present
        outside = {name: modality for name, modality in self.modalities.items() if name not in self._in_blocks}
        if not outside:
            return Batch.of_present(len(rows), {}, {}, beside, seen, blocks, tuple(self.modalities))
        if blocks:
            present = present[:, [m for m, name in enumerate(self.modalities) if name in outside]]
        # One search for the present cells of all modalities: a call for each would cost more than the cells.
        places = present.T.nonzero()[:, 1]  # by modality, then by place in the batch
        counts = present.sum(0).tolist()
        chosen = rows.index_select(0, places)
        values: dict[str, Tensor] = {}
        for (name, modality), own in zip(outside.items(), chosen.split(counts), strict=True):
            stored = self.stored[name]
            stored = sent(stored.index_select(0, sent(own, stored.device)), device)
            keys = None if redraw and modality.redraws else sent(own + self._first_key, device)
            values[name] = modality.prepare(stored, None, keys) if len(own) else _empty(modality, device)
        own_rows = dict(zip(outside, places.split(counts), strict=True))
        return Batch.of_present(len(rows), values, own_rows, beside, seen, blocks, tuple(self.modalities))

    @cached_property
    def _blocks(self) -> dict[tuple[str, ...], tuple[Tensor, list[int], tuple[torch.dtype, ...]]]:
        """Names of a record -> its prepared values (N, K) float64, its places among the modalities, their types."""
        blocks = {}
        for names in self.records:
            columns = [list(self.modalities).index(name) for name in names]
            block = torch.zeros(len(self), len(names), dtype=torch.float64, device=self.stored[names[0]].device)
            dtypes = []
            for k, name in enumerate(names):
                keys = sent(torch.arange(len(self)) + self._first_key, block.device)
                value = self.modalities[name].prepare(self.stored[name], None, keys)
                block[:, k] = value
                dtypes.append(value.dtype)
            blocks[names] = block, columns, tuple(dtypes)
        return blocks

    @cached_property
    def _in_blocks(self) -> frozenset[str]:
        return frozenset(name for names in self.records for name in names)

    @property
    def modelled(self) -> Split:
        """The same rows with only the modalities that the model sees; `present` is as a `Network` takes it."""
        if not (beside := _unmodelled(self.modalities)):
            return self
        names = [name for name in self.modalities if name not in beside]
        present = self.present[:, [m for m, name in enumerate(self.modalities) if name in names]]
        modalities = {name: self.modalities[name] for name in names}
        records = tuple(tuple(name for name in of if name in modalities) for of in self.records)
        stored = {name: self.stored[name] for name in names}
        return Split(self.name, modalities, stored, present, tuple(filter(None, records)))

    @property
    def _first_key(self) -> int:
        return zlib.crc32(self.name.encode()) << 31

    def batches(self, size: int, device: torch.device) -> Iterator[Batch]:
        """Iterate over all rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self))), device)

    def values(self, name: str, size: int = 512) -> Iterator[Tensor]:
        """Iterate over the prepared, present values of one modality, up to `size` at a time: (n, *event).

        The default size fits the processor's cache.
        """
        m = list(self.modalities).index(name)
        rows = self.present[:, m].nonzero().squeeze(1)
        for chosen in rows.split(size) if len(rows) else ():
            stored = self.stored[name].index_select(0, sent(chosen, self.stored[name].device))
            yield self.modalities[name].prepare(stored, None, sent(chosen + self._first_key, stored.device)).cpu()

    def on(self, device: torch.device) -> Split:
        """A copy of the split with its stored columns on a device."""
        stored = {name: column.to(device) for name, column in self.stored.items()}
        return Split(self.name, self.modalities, stored, self.present, self.records)

    @property
    def nbytes(self) -> int:
        """The size of the stored columns in bytes."""
        return sum(column.nbytes for column in self.stored.values())


def records_of(units: Mapping[str, Unit]) -> tuple[tuple[str, ...], ...]:
    """The names of the modalities of each record that the model sees."""
    modelled = modelled_units(units)
    return tuple(tuple(of.members(unit)) for unit, of in modelled.items() if not isinstance(of, Modality))


def _unmodelled(modalities: Mapping[str, Modality]) -> frozenset[str]:
    return frozenset(name for name, modality in modalities.items() if not modality.modelled)


def _empty(modality: Modality, device: torch.device) -> Tensor:
    return torch.zeros(0, *modality.event_shape(), device=device)
