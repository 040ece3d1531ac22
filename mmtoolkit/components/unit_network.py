"""Units and their modalities: what a model's networks read of a batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import listing
from mmtoolkit.components.known_numbers import packed_entries
from mmtoolkit.components.modality import members_of
from mmtoolkit.components.unit import JointDistribution, Unit
from mmtoolkit.core.batch import Batch, sent

_DRAWS = 20  # of z, for a prediction of a record's column
_LISTED = 20  # names in an error


class UnitNetwork(nn.Module):
    """A module over units, of which a record has many modalities; batches name modalities.

    Args:
        units: name -> modality or record, in schema order.

    Attributes:
        units: name -> modality or record, in schema order.
        modalities: name -> modality, in schema order, with the columns of each record in its place.
        members: name of a unit -> the names of its modalities.
    """

    def __init__(self, units: Mapping[str, Unit]) -> None:
        super().__init__()
        self.units = dict(units)
        self.modalities = members_of(units)
        self.members = {unit: tuple(of.members(unit)) for unit, of in units.items()}
        self._unit_of = {name: unit for unit, names in self.members.items() for name in names}
        places = {name: m for m, name in enumerate(self.modalities)}
        self._columns = [[places[name] for name in names] for names in self.members.values()]
        self._names = tuple(self.modalities)
        self._events: dict[str, tuple[int, ...]] = {}

    def flat(self, names: Collection[str]) -> tuple[str, ...]:
        """The modalities of these units, in schema order; a name may also be that of a modality itself.

        A name that is neither stands last, as it is.
        """
        strangers = [name for name in names if name not in self.modalities and name not in self.units]
        members = (name for name, unit in self._unit_of.items() if name in names or unit in names)
        return (*members, *strangers)

    def touched(self, names: Collection[str]) -> frozenset[str]:
        """The units that have any of these modalities."""
        return frozenset(unit for name, unit in self._unit_of.items() if name in names or unit in names)

    def there(self, batch: Batch | Tensor) -> Tensor:
        """Which rows have something of which unit, of a batch or presence (B, M) bool: (B, U) bool, on the host.

        Raises:
            UserError: the batch has other modalities than the networks, or the same in another order.
        """
        if isinstance(batch, Tensor):
            present = batch
        else:
            self._check_batch(batch)
            present = batch.present
        if len(self.units) == len(self.modalities):
            return present
        return torch.stack([present[:, columns].any(1) for columns in self._columns], dim=1)

    def rows(self, unit: str, batch: Batch) -> Tensor:
        """The rows that have something of a unit: (N,) int64, ascending, on the host."""
        if self._is_modality(unit):
            return batch.rows(unit)
        return batch.block(self.members[unit]).known.any(1).nonzero().squeeze(1)

    def value(self, unit: str, batch: Batch) -> Tensor:
        """What the networks of a unit read, for the rows that have something of it: (N, *event).

        Raises:
            UserError: the values of a modality have another shape.
        """
        if self._is_modality(unit):
            return self._checked(unit, batch.value(unit))
        block = batch.block(self.members[unit])
        known = sent(block.known, block.values.device)
        value = packed_entries(block.values, known, single=False)
        rows = self.rows(unit, batch)
        return value if len(rows) == batch.size else value.index_select(0, sent(rows, value.device))

    def whole_values(self, values: Mapping[str, Tensor], present: Tensor) -> dict[str, Tensor]:
        """What the networks of units read, for all rows: name of a unit -> (B, *event), zeros where it is not present.

        Args:
            values: name of a modality -> (B, *event), anything where it is not present. A unit is left out if they
                lack one of its modalities.
            present: (B, M) bool, on their device.
        """
        whole = {}
        for (unit, names), columns in zip(self.members.items(), self._columns, strict=True):
            if not set(names) <= values.keys():
                continue
            known = present[:, columns]
            if self._is_modality(unit):
                x = values[unit]
                whole[unit] = torch.where(known.reshape(-1, *[1] * (x.ndim - 1)), x, torch.zeros_like(x))
            else:
                numbers = torch.stack([values[name].double() for name in names], dim=1)
                whole[unit] = packed_entries(torch.where(known, numbers, 0.0), known, single=False)
        return whole

    def _check_batch(self, batch: Batch) -> None:
        # Presence is read by place: modalities in another order would be taken for each other.
        if batch.names != self._names:
            raise UserError(
                f"the batch has {listing(batch.names, _LISTED)}; these networks have {listing(self._names, _LISTED)}; "
                "give all their modalities, in this order"
            )

    def _checked(self, name: str, value: Tensor) -> Tensor:
        """Values of a modality, if each has its event shape; others would be broadcast against what is decoded."""
        if (event := self._events.get(name)) is None:
            event = self._events[name] = tuple(self.modalities[name].event_shape())
        if value.shape[1:] != event:
            raise UserError(
                f"{name}: a value has the shape {tuple(value.shape[1:])}; the modality's is {event}; reshape the values"
            )
        return value

    def _is_modality(self, unit: str) -> bool:
        return self.members[unit] == (unit,)

    def pooled_draws(self, unit: str) -> int:
        """How many draws of z a prediction of a unit averages, where nobody says how many; 1 for q's point alone.

        The columns of a record average some, since a mean or a probability over draws errs less; an average of pictures
        would be a blur.
        """
        return 1 if self._is_modality(unit) else _DRAWS

    def limited(self, batch: Batch, given: Collection[str]) -> Batch:
        """The batch, with no columns of the records that are touched but those that are given."""
        hidden = {name for unit in self.touched(given) for name in self.members[unit]}.difference(given)
        return batch.only(set(self.modalities) - hidden) if hidden else batch

    def columns(self, unit: str, p: Distribution, names: Sequence[str]) -> dict[str, Distribution]:
        """The distribution of each of these modalities, from that of their unit."""
        return {name: p.column(name) for name in names} if isinstance(p, JointDistribution) else {unit: p}

    def unit_log_probs(self, p: Distribution, value: Tensor) -> Tensor:
        """Log p of each modality of a unit, 0 where it is unknown, for values as `value` gives them: (N, members)."""
        return p.log_probs(value) if isinstance(p, JointDistribution) else p.log_prob(value).unsqueeze(1)

    def weighted(self, unit: str, log_probs: Tensor) -> Tensor:
        """The sum of the log-probabilities (members,) of a unit, each times the weight λ of its modality."""
        weights = log_probs.new_tensor([self.modalities[name].weight for name in self.members[unit]])
        return (weights * log_probs).sum()

    def check_names(self, names: Collection[str]) -> None:
        """Raise a `UserError` if a name is neither a modality nor a record of this model."""
        for name in names:
            if name not in self.modalities and name not in self.units:
                raise UserError(f"there is no modality {name!r} here; the modalities: {', '.join(self.modalities)}")
