"""Batches: rows of several modalities, any of which may be missing."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Observed:
    """One modality of B rows.

    Args:
        value: (B, *event), from the modality's `prepare`; absent rows may hold any values.
        present: (B,) bool, on the host: whether a row has the modality.

    Raises:
        ValueError: `present` is not bool, or not one for each row.
    """

    value: Tensor
    present: Tensor

    def __post_init__(self) -> None:
        if self.present.dtype != torch.bool or self.present.shape != self.value.shape[:1]:
            raise ValueError(
                f"present must be bool of shape ({len(self.value)},), one for each row of value; "
                f"it is {self.present.dtype} of shape {tuple(self.present.shape)}"
            )


@dataclass(frozen=True, eq=False)
class Block:
    """Numbers of K modalities side by side, any of which may be missing in a row.

    Args:
        values: (B, K) float64; absent ones may be anything.
        known: (B, K) bool, on the host: whether a row has the modality.
        dtypes: of the values of each modality, such as int64 for classes.
    """

    values: Tensor
    known: Tensor
    dtypes: tuple[torch.dtype, ...]

    def take(self, rows: Tensor) -> Block:
        """The block of some rows, at places (n,) int64, on the host."""
        return Block(_select(self.values, rows), self.known.index_select(0, rows), self.dtypes)


class Batch:
    """B rows of M modalities in schema order. It stores only the rows that have a modality.

    Beside the M modalities of the model, a batch may hold values that no model sees: `value` and `rows` give them,
    while `names` and `present` leave them out. Modalities of one number each may be stored as a `Block`.

    Presence stays on the host, so a model can find the rows of each network without waiting for the device. Values
    are on the device.

    Args:
        observed: name -> `Observed`, all with the same number of rows.

    Attributes:
        size: B.

    Raises:
        TypeError: a modality is no `Observed`.
        ValueError: there is no modality, or their numbers of rows differ.
    """

    size: int

    def __init__(self, observed: Mapping[str, Observed]) -> None:
        others = {name: type(cells).__name__ for name, cells in observed.items() if not isinstance(cells, Observed)}
        for name, found in others.items():
            raise TypeError(f"{name}: must be an Observed, not a {found}; write Observed(value, present)")
        sizes = {name: len(cells.value) for name, cells in observed.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"a batch has the same number of rows in each modality; here {sizes}")
        self.size = next(iter(sizes.values()))
        self._rows = {n: o.present.cpu().nonzero().squeeze(1) for n, o in observed.items()}
        self._values = {
            n: o.value if len(self._rows[n]) == self.size else _select(o.value, self._rows[n])
            for n, o in observed.items()
        }
        self._start(tuple(observed))

    def _start(
        self,
        names: tuple[str, ...],
        beside: Container[str] = (),
        blocks: Mapping[tuple[str, ...], Block] | None = None,
        present: Tensor | None = None,
    ) -> None:
        self._all_names, self._beside, self._blocks, self._present = names, beside, dict(blocks or {}), present
        self._places = {name: (of, k) for of in self._blocks for k, name in enumerate(of)}
        self._tiled: dict[str, Tensor] = {}
        self._joined: dict[tuple[str, ...], Block] = {}

    @classmethod
    def of_present(
        cls,
        size: int,
        values: Mapping[str, Tensor],
        rows: Mapping[str, Tensor],
        beside: Container[str] = (),
        present: Tensor | None = None,
        blocks: Mapping[tuple[str, ...], Block] | None = None,
        names: tuple[str, ...] | None = None,
    ) -> Batch:
        """A batch from present rows only.

        Args:
            size: B.
            values: for each modality, values (N, *event).
            rows: their rows (N,), ascending.
            beside: the names that no model sees.
            present: (B, M) bool, on the host, which follows from the others, if you have it already.
            blocks: names of modalities -> their values, for those that are not in `values`.
            names: all names in schema order. Default: those of `values`, then those of `blocks`.
        """
        batch = cls.__new__(cls)
        batch.size, batch._values, batch._rows = size, dict(values), dict(rows)
        every = (*values, *(name for of in blocks or () for name in of))
        batch._start(every if names is None else names, beside, blocks, present)
        return batch

    def _with(
        self,
        size: int,
        values: Mapping[str, Tensor],
        rows: Mapping[str, Tensor],
        blocks: Mapping[tuple[str, ...], Block],
    ) -> Batch:
        """Other rows or other values of the same modalities."""
        return Batch.of_present(size, values, rows, self._beside, None, blocks, self._all_names)

    @property
    def _stored(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The values and rows of the modalities that stand in no block."""
        if not self._blocks:
            return self._values, self._rows
        outside = [name for name in self._all_names if name not in self._places]
        return {n: self._values[n] for n in outside}, {n: self._rows[n] for n in outside}

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities that a model sees, in schema order."""
        return tuple(name for name in self._all_names if name not in self._beside) if self._beside else self._all_names

    @property
    def present(self) -> Tensor:
        """(B, M) bool, on the host."""
        if self._present is not None:
            return self._present
        names = self.names
        present = torch.zeros(self.size, len(names), dtype=torch.bool)
        for m, name in enumerate(names):
            if name in self._places:
                of, k = self._places[name]
                present[:, m] = self._blocks[of].known[:, k]
            else:
                present[self._rows[name], m] = True
        self._present = present
        return present

    @property
    def device(self) -> torch.device:
        """The device of the values."""
        for value in self._values.values():
            return value.device
        return next(iter(self._blocks.values())).values.device

    def value(self, name: str) -> Tensor:
        """The rows that have the modality: (N, *event)."""
        if (value := self._values.get(name)) is None:
            of, k = self._places[name]
            block = self._blocks[of]
            value = self._values[name] = _select(block.values[:, k], self.rows(name)).to(block.dtypes[k])
        return value

    def tiled(self, name: str, draws: int) -> Tensor:
        """Those values, repeated for each draw of z, draw-major: (draws N, *event).

        The batch keeps the longest result, because estimates score the same rows in many chunks of draws.
        """
        value = self.value(name)
        if draws == 1:
            return value
        tiled = self._tiled.get(name)
        if tiled is None or len(tiled) < draws * len(value):
            tiled = self._tiled[name] = value.repeat(draws, *[1] * (value.ndim - 1))
        return tiled[: draws * len(value)]

    def rows(self, name: str) -> Tensor:
        """The places of those rows in the batch: (N,) int64, ascending, on the host."""
        if (rows := self._rows.get(name)) is None:
            of, k = self._places[name]
            rows = self._rows[name] = self._blocks[of].known[:, k].nonzero().squeeze(1)
        return rows

    def block(self, names: tuple[str, ...]) -> Block:
        """The values of modalities of one number each, side by side, 0 where a row lacks one: (B, K)."""
        if (joined := self._joined.get(names)) is not None:
            return joined
        if (block := self._blocks.get(names)) is not None:
            values = block.values
            if not block.known.all():
                values = torch.where(sent(block.known, values.device), values, torch.zeros_like(values))
            joined = Block(values, block.known, block.dtypes)
        else:
            values = torch.zeros(self.size, len(names), dtype=torch.float64, device=self.device)
            known = torch.zeros(self.size, len(names), dtype=torch.bool)
            for k, name in enumerate(names):
                values[:, k] = values[:, k].index_copy(0, sent(self.rows(name), self.device), self.value(name).double())
                known[self.rows(name), k] = True
            joined = Block(values, known, tuple(self.value(name).dtype for name in names))
        self._joined[names] = joined
        return joined

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its values on another device."""
        values, rows = self._stored
        blocks = {of: Block(b.values.to(device), b.known, b.dtypes) for of, b in self._blocks.items()}
        return self._with(self.size, {n: v.to(device) for n, v in values.items()}, rows, blocks)

    def split(self, size: int) -> Iterator[Batch]:
        """The same rows in batches of up to `size`, in order."""
        values, rows = self._stored
        for start in range(0, self.size, size):
            stop = min(start + size, self.size)
            ends = {n: torch.searchsorted(r, torch.tensor([start, stop])).tolist() for n, r in rows.items()}
            blocks = {of: Block(b.values[start:stop], b.known[start:stop], b.dtypes) for of, b in self._blocks.items()}
            yield self._with(
                stop - start,
                {n: values[n][a:b] for n, (a, b) in ends.items()},
                {n: rows[n][a:b] - start for n, (a, b) in ends.items()},
                blocks,
            )

    def take(self, rows: Tensor) -> Batch:
        """The batch of some rows, at places (n,) int64, ascending and each once, on the host.

        The places are not checked: in another order, `rows` of the result would not be ascending.
        """
        values, present = self._stored
        place = torch.full((self.size,), -1, dtype=torch.int64)
        place[rows] = torch.arange(len(rows))
        chosen = {name: (place[r] >= 0).nonzero().squeeze(1) for name, r in present.items()}
        return self._with(
            len(rows),
            {n: v if len(chosen[n]) == len(v) else _select(v, chosen[n]) for n, v in values.items()},
            {n: place[r[chosen[n]]] for n, r in present.items()},
            {of: block.take(rows) for of, block in self._blocks.items()},
        )

    def only(self, names: Collection[str]) -> Batch:
        """The same rows with only the named modalities present.

        Raises:
            ValueError: the batch has no modality of one of these names.
        """
        if unknown := set(names).difference(self._all_names):
            strangers = ", ".join(repr(name) for name in names if name in unknown)
            raise ValueError(f"the batch has no modality {strangers}; it has {', '.join(self._all_names)}")
        values, rows = self._stored
        blocks = {
            of: Block(b.values, b.known & torch.tensor([name in names for name in of]), b.dtypes)
            for of, b in self._blocks.items()
        }
        return self._with(
            self.size,
            {n: v if n in names else v[:0] for n, v in values.items()},
            {n: r if n in names else r[:0] for n, r in rows.items()},
            blocks,
        )

    def where(self, mask: Tensor) -> Batch:
        """The same rows with only the cells of a mask (B, M) bool, on the host; missing cells stay missing.

        Values that no model sees stay as they are.
        """
        stored, stored_rows = self._stored
        values, rows, blocks = dict(stored), dict(stored_rows), dict(self._blocks)
        columns = {name: m for m, name in enumerate(self.names)}
        for name in stored:
            if name not in columns:
                continue
            places = mask[rows[name], columns[name]].nonzero().squeeze(1)
            if len(places) < len(rows[name]):
                values[name], rows[name] = _select(values[name], places), rows[name][places]
        for of, b in self._blocks.items():
            visible = torch.ones_like(b.known)
            seen = [k for k, name in enumerate(of) if name in columns]
            visible[:, seen] = mask[:, [columns[of[k]] for k in seen]]
            blocks[of] = Block(b.values, b.known & visible, b.dtypes)
        return self._with(self.size, values, rows, blocks)


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device, without waiting for the device."""
    return x.to(device, non_blocking=True)


def _select(value: Tensor, rows: Tensor) -> Tensor:
    return value.index_select(0, sent(rows, value.device))
