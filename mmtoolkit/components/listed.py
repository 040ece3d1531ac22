"""Networks that infer z only from listed sets of modalities."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Network
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.core.subsets import informed, largest_supported, supports


class ListedNetwork(Network):
    """Networks with one inference network for each set of modalities in a list, `subsets`."""

    @abstractmethod
    def subsets(self) -> Sequence[frozenset[str]]:
        """The sets of modalities that z can be inferred from."""

    @abstractmethod
    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        """q(z | given), where `given` is one of `subsets` and every row has all of it: (B, D)."""

    def infer(self, batch: Batch, given: Collection[str]) -> Gaussian:
        """q(z | given) for each row: (B, D).

        A row that lacks some of the given uses the largest supported set that it has, or else the prior.

        Raises:
            UserError: `given` is not among `subsets`.
        """
        self.check_names(given)
        if not supports(self.subsets(), given):
            asked, *sets = (", ".join(name for name in self.modalities if name in s) for s in (given, *self.subsets()))
            raise UserError(f"the model cannot infer z from {asked}; it can from: {'; '.join(sets)}")
        return self._largest(batch, given)

    def infer_all(self, batch: Batch) -> Gaussian:
        """q(z | the largest supported set that a row has) for each row: (B, D)."""
        return self._largest(batch, self.modalities)

    def informed(self, present: Tensor) -> Tensor:
        """Which rows have a supported set, given presence (B, M) bool: (B,) bool."""
        return informed(present, tuple(self.modalities), self.modalities, self.subsets())

    def _largest(self, batch: Batch, given: Collection[str]) -> Gaussian:
        chosen = largest_supported(batch.present, batch.names, given, self.subsets())
        if len(chosen) == 1 and len(chosen[0][1]) == batch.size:
            return self.posterior(batch, chosen[0][0])
        mean = self.blank(batch, batch.size, self.latent_dim)
        logvar = mean
        for subset, rows in chosen:
            q = self.posterior(batch.take(rows), subset)
            places = sent(rows, batch.device)
            mean = mean.to(q.mean.dtype).index_copy(0, places, q.mean)
            logvar = logvar.to(q.mean.dtype).index_copy(0, places, q.logvar)
        return Gaussian(mean, logvar)

    def blank(self, batch: Batch, *shape: int) -> Tensor:
        """Zeros of this shape, with the weights' type, on the batch's device."""
        return torch.zeros(shape, dtype=next(self.parameters()).dtype, device=batch.device)
