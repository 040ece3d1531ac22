"""Products of Gaussian experts, from which an expert can be left out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmtoolkit.core.pooling import weighted_product
from mmtoolkit.core.posterior import Gaussian, product_of_experts, usable_experts


@dataclass(frozen=True, eq=False)
class ExpertProduct:
    """The product of the Gaussian experts that each of B rows has of U, with what each of them adds to it.

    Args:
        experts: (U, B, D); where a row lacks one, it may hold anything.
        there: (U, B) bool, on the device: which row has which expert.
        prior: whether N(0, I) is an expert of every row too.
        exponents: positive, (U, D), of the generalised product `weighted_product`, which has no prior. Default: none.
    """

    experts: Gaussian
    there: Tensor
    prior: bool = False
    exponents: Tensor | None = None

    @property
    def joint(self) -> Gaussian:
        """The product of all that a row has: (B, D); N(0, I) in a row without experts."""
        return self._of(self.there)

    def without(self, place: int) -> Gaussian:
        """The product of all that a row has but the expert at this place: (B, D)."""
        others = self.there.clone()
        others[place] = False
        return self._of(others)

    def replaced(self, place: int, other: ExpertProduct) -> ExpertProduct:
        """The same with the expert at this place as another product of the same rows has it."""
        own = (torch.arange(len(self.there), device=self.there.device) == place).unsqueeze(1)
        mean, logvar = (
            torch.where(own.unsqueeze(-1), new, old)
            for new, old in (
                (other.experts.mean, self.experts.mean),
                (other.experts.logvar, self.experts.logvar),
            )
        )
        there = torch.where(own, other.there, self.there)
        return ExpertProduct(Gaussian(mean, logvar), there, self.prior, self.exponents)

    def shares(self) -> Tensor:
        """The share of each expert, and last of the prior, in the precision of the joint, averaged over D: (U + 1, B).

        They sum to 1. An expert that a row lacks has share 0, and the prior has all of a row without experts.
        """
        experts, entering, broken = usable_experts(self.experts, self.there.unsqueeze(0), above=self.prior)
        scores = -experts.logvar
        if self.exponents is not None:
            scores = scores + self.exponents.log().unsqueeze(1)
        scores = torch.where(entering[0].unsqueeze(-1), scores, -torch.inf)
        prior_enters = (~entering[0].any(0) | self.prior).view(1, -1, 1)
        of_prior = torch.where(prior_enters, torch.zeros_like(scores[:1]), -torch.inf)
        shares = torch.cat([scores, of_prior]).softmax(0).mean(-1)
        return torch.where(broken[0], torch.nan, shares)

    def _of(self, members: Tensor) -> Gaussian:
        """The product of the members (U, B) bool: (B, D)."""
        if self.exponents is None:
            return product_of_experts(self.experts, members.unsqueeze(0), self.prior)[0]
        return weighted_product(self.experts, members.unsqueeze(0), self.exponents)[0]
