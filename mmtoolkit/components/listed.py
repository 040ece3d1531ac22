"""Networks that infer z only from listed sets of units."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmtoolkit.components.terms_network import TermsNetwork
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.core.subsets import by_size, largest_supported


class ListedNetwork(TermsNetwork):
    """Networks with one inference network for each set of units in a list, `subsets`.

    A row that lacks some of the given uses the largest supported set that it has.
    """

    @abstractmethod
    def subsets(self) -> Sequence[frozenset[str]]:
        """The sets of units that z can be inferred from."""

    def posterior_of_set(self, values: Mapping[str, Tensor], given: frozenset[str]) -> Gaussian:
        """q(z | given), where `given` is one of `subsets`: (B, D).

        Args:
            values: name of each unit of the set -> what its networks read, (B, *event).
            given: the set.
        """
        raise NotImplementedError(
            f"{type(self).__name__} writes neither posterior_of_set(values, given) nor posterior(batch, given); write "
            "the first"
        )

    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        """q(z | given), where `given` is one of `subsets` and every row has all of it: (B, D)."""
        return self.posterior_of_set({unit: self.value(unit, batch) for unit in self.units if unit in given}, given)

    def posterior_of_values(self, values: Mapping[str, Tensor], there: Tensor) -> Gaussian:
        """Q(z | the largest supported set that is there) for each row; see the base class."""
        mean = logvar = torch.zeros(there.shape[0], self.latent_dim, dtype=self.dtype, device=there.device)
        # The largest set is written last, over the others.
        for subset, columns in reversed(by_size(tuple(self.units), values, self.subsets())):
            q = self.posterior_of_set(values, subset)
            rows = there[:, columns].all(1, keepdim=True)
            mean, logvar = torch.where(rows, q.mean, mean), torch.where(rows, q.logvar, logvar)
        return Gaussian(mean, logvar)

    def infer_all(self, batch: Batch) -> Posterior:
        """q(z | the largest supported set that a row has) for each row: (B, D)."""
        return self._inferred(batch, frozenset(self.modalities))

    def informed(self, present: Tensor) -> Tensor:
        """Which rows have a supported set, given presence (B, M) bool: (B,) bool."""
        return self._informed(present, self.modalities)

    def _of_rows(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        batch = self.limited(batch, given)
        chosen = largest_supported(self.there(batch), tuple(self.units), self.touched(given), self.subsets())
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
