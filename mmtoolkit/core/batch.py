"""Batches: rows of several modalities, any of which may be missing."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Observed:
    """One modality of B rows.

    Args:
        value: (B, *event), from the modality's `prepare`; absent rows may hold any values.
        present: (B,) bool, on the host: whether a row has the modality.
    """

    value: Tensor
    present: Tensor

    def __post_init__(self) -> None:
        if self.present.dtype != torch.bool or self.present.shape != self.value.shape[:1]:
            raise ValueError(
                f"present must be bool of shape ({len(self.value)},), one for each row of value; "
                f"it is {self.present.dtype} of shape {tuple(self.present.shape)}"
            )


class Batch:
    """B rows of M modalities in schema order. It stores only the rows that have a modality.

    Beside the M modalities of the model, a batch may hold values that no model sees: `value` and `rows` give them,
    while `names` and `present` leave them out.

    Presence stays on the host, so a model can find the rows of each network without waiting for the device. Values
    are on the device.

    Args:
        observed: name -> `Observed`, all with the same number of rows.

    Raises:
        ValueError: there is no modality, or their numbers of rows differ.
    """

    def __init__(self, observed: Mapping[str, Observed]) -> None:
        sizes = {name: len(cells.value) for name, cells in observed.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"a batch has the same number of rows in each modality; here {sizes}")
        self.size = next(iter(sizes.values()))
        self._rows = {n: o.present.cpu().nonzero().squeeze(1) for n, o in observed.items()}
        self._values = {
            n: o.value if len(self._rows[n]) == self.size else _select(o.value, self._rows[n])
            for n, o in observed.items()
        }
        self._beside: Container[str] = ()
        self._tiled: dict[str, Tensor] = {}
        self._present: Tensor | None = None

    @classmethod
    def of_present(
        cls,
        size: int,
        values: Mapping[str, Tensor],
        rows: Mapping[str, Tensor],
        beside: Container[str] = (),
        present: Tensor | None = None,
    ) -> Batch:
        """A batch from present rows only.

        Args:
            size: B.
            values: for each modality, values (N, *event).
            rows: their rows (N,), ascending.
            beside: the names that no model sees.
            present: (B, M) bool, on the host, which follows from `rows`, if you have it already.
        """
        batch = cls.__new__(cls)
        batch.size, batch._values, batch._rows, batch._beside = size, dict(values), dict(rows), beside
        batch._tiled, batch._present = {}, present
        return batch

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities that a model sees, in schema order."""
        return tuple(name for name in self._values if name not in self._beside)

    @property
    def present(self) -> Tensor:
        """(B, M) bool, on the host."""
        if self._present is not None:
            return self._present
        names = self.names
        present = torch.zeros(self.size, len(names), dtype=torch.bool)
        for m, name in enumerate(names):
            present[self._rows[name], m] = True
        self._present = present
        return present

    @property
    def device(self) -> torch.device:
        """The device of the values."""
        return next(iter(self._values.values())).device

    def value(self, name: str) -> Tensor:
        """The rows that have the modality: (N, *event)."""
        return self._values[name]

    def tiled(self, name: str, draws: int) -> Tensor:
        """Those values, repeated for each draw of z, draw-major: (draws N, *event).

        The batch keeps the longest result, because estimates score the same rows in many chunks of draws.
        """
        value = self._values[name]
        if draws == 1:
            return value
        tiled = self._tiled.get(name)
        if tiled is None or len(tiled) < draws * len(value):
            tiled = self._tiled[name] = value.repeat(draws, *[1] * (value.ndim - 1))
        return tiled[: draws * len(value)]

    def rows(self, name: str) -> Tensor:
        """The places of those rows in the batch: (N,) int64, ascending, on the host."""
        return self._rows[name]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its values on another device."""
        values = {n: v.to(device) for n, v in self._values.items()}
        return Batch.of_present(self.size, values, self._rows, self._beside)

    def split(self, size: int) -> Iterator[Batch]:
        """The same rows in batches of up to `size`, in order."""
        for start in range(0, self.size, size):
            stop = min(start + size, self.size)
            ends = {n: torch.searchsorted(r, torch.tensor([start, stop])).tolist() for n, r in self._rows.items()}
            values = {n: self._values[n][a:b] for n, (a, b) in ends.items()}
            rows = {n: self._rows[n][a:b] - start for n, (a, b) in ends.items()}
            yield Batch.of_present(stop - start, values, rows, self._beside)

    def take(self, rows: Tensor) -> Batch:
        """The batch of some rows, at places (n,) int64, ascending, on the host."""
        place = torch.full((self.size,), -1, dtype=torch.int64)
        place[rows] = torch.arange(len(rows))
        chosen = {name: (place[r] >= 0).nonzero().squeeze(1) for name, r in self._rows.items()}
        return Batch.of_present(
            len(rows),
            {n: v if len(chosen[n]) == len(v) else _select(v, chosen[n]) for n, v in self._values.items()},
            {n: place[r[chosen[n]]] for n, r in self._rows.items()},
            self._beside,
        )

    def only(self, names: Container[str]) -> Batch:
        """The same rows with only the named modalities present."""
        return Batch.of_present(
            self.size,
            {n: v if n in names else v[:0] for n, v in self._values.items()},
            {n: r if n in names else r[:0] for n, r in self._rows.items()},
            self._beside,
        )

    def where(self, mask: Tensor) -> Batch:
        """The same rows with only the cells of a mask (B, M) bool, on the host; missing cells stay missing.

        Values that no model sees stay as they are.
        """
        values, rows = dict(self._values), dict(self._rows)
        for m, name in enumerate(self.names):
            places = mask[rows[name], m].nonzero().squeeze(1)
            if len(places) < len(rows[name]):
                values[name], rows[name] = _select(values[name], places), rows[name][places]
        return Batch.of_present(self.size, values, rows, self._beside)


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device, without waiting for the device."""
    return x.to(device, non_blocking=True)


def _select(value: Tensor, rows: Tensor) -> Tensor:
    return value.index_select(0, sent(rows, value.device))
