"""The experts of a model's units: what each encoder says of z."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmtoolkit.components.by_name import ByName
from mmtoolkit.components.unit import Unit
from mmtoolkit.components.unit_network import UnitNetwork
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.core.products import ExpertProduct


class ExpertNetwork(UnitNetwork):
    """Units with encoders, each of which gives a Gaussian expert for the rows that have something of its unit.

    Args:
        units: name -> modality or record, in schema order.
        encoders: name of a unit -> encoder with 2 E features.
    """

    def __init__(self, units: Mapping[str, Unit], encoders: Mapping[str, nn.Module]) -> None:
        super().__init__(units)
        self.encoders = ByName(encoders)

    @property
    def expert_dim(self) -> int:
        """E, how many latent variables the expert of a unit describes."""
        raise NotImplementedError

    def expert(self, unit: str, batch: Batch) -> Gaussian | None:
        """The Gaussian expert q(z | x) of the N rows that have something of a unit: (N, D); None if no row has."""
        if not len(self.rows(unit, batch)):
            return None
        return self.unit_expert(unit, self.value(unit, batch))

    def unit_expert(self, unit: str, value: Tensor) -> Gaussian:
        """The Gaussian expert q(z | x) of the values (N, *event) of a unit: (N, E)."""
        return Gaussian(*self.unit_features(unit, value).chunk(2, dim=-1))

    def unit_features(self, unit: str, value: Tensor) -> Tensor:
        """Means and log-variances side by side, from the values (N, *event) of a unit: (N, 2 E).

        Default: what its encoder gives.
        """
        features: Tensor = self.encoders.of(unit)(value)
        return features

    def packed_experts(self, batch: Batch) -> tuple[Gaussian, Tensor]:
        """The experts of just the (unit, row) pairs that are there, each unit encoded once.

        Returns:
            The n experts (n, D), unit after unit in schema order; and their places among all (unit, row) pairs,
            (n,) int64, ascending, on the host.
        """
        there = self.there(batch)[:, [place for place, unit in enumerate(self.units) if unit in self.encoders.names]]
        units = [unit for unit, any_row in zip(self.encoders.names, there.any(0).tolist(), strict=True) if any_row]
        if units:
            features = [self.unit_features(unit, self.value(unit, batch)) for unit in units]
            mean, logvar = torch.cat(features).chunk(2, dim=-1)  # once for all of them
        else:
            mean = logvar = self.blank(batch, 0, self.expert_dim)
        return Gaussian(mean, logvar), there.T.flatten().nonzero().squeeze(1)

    def experts(self, batch: Batch) -> Gaussian:
        """The experts of all units that have an encoder, for all rows: (U, B, D), in schema order.

        If a row has nothing of the unit, its expert is N(0, I). `there(batch)` shows which rows do.
        """
        return self.spread(*self.packed_experts(batch), batch.size)

    def expert_product(self, batch: Batch, prior: bool = False, exponents: Tensor | None = None) -> ExpertProduct:
        """The product of the experts of each row, with N(0, I) or with exponents, for `Network.product` to return.

        Args:
            batch: B rows.
            prior: whether N(0, I) is an expert of every row too.
            exponents: positive, (U, D), of the generalised product, which has no prior. Default: none.
        """
        return ExpertProduct(self.experts(batch), sent(self.there(batch).T, batch.device), prior, exponents)

    def spread(self, experts: Gaussian, slots: Tensor, rows: int) -> Gaussian:
        """Experts (n, D) at their places among all (unit, row) pairs: (U, B, D); N(0, I) stands elsewhere.

        Args:
            experts: as `packed_experts` gives them.
            slots: their places, (n,).
            rows: B.
        """
        size = experts.mean.shape[-1]
        shape = (len(self.encoders.names), rows, size)
        if len(slots) == shape[0] * rows:
            return Gaussian(experts.mean.view(shape), experts.logvar.view(shape))
        blank = experts.mean.new_zeros(shape).flatten(0, 1)
        slots = sent(slots, blank.device)
        mean, logvar = (blank.index_copy(0, slots, x).view(shape) for x in (experts.mean, experts.logvar))
        return Gaussian(mean, logvar)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    def blank(self, batch: Batch, *shape: int) -> Tensor:
        """Zeros of this shape, with the weights' type, on the batch's device."""
        return torch.zeros(shape, dtype=self.dtype, device=batch.device)
