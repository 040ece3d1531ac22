"""The multimodal variational autoencoder of Wu & Goodman (2018)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import torch
from pydantic import ConfigDict, Field, ValidationInfo, model_validator
from torch import Tensor

from mmtoolkit.base.described import Described
from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Gradient, ManyDraws, Pairs, Part, Prior, Step, Terms, TermsNetwork, Unit, plan_pairs
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian, product_alone, product_of_experts, product_with_prior
from mmtoolkit.core.prior import StandardNormal
from mmtoolkit.core.products import ExpertProduct
from mmtoolkit.core.subsets import distinct_terms, draw_subsets
from mmtoolkit.priors import NormalPrior


class SubsetOptions(Described):
    """The random subsets among the terms of a step (Wu & Goodman 2018, section 2.4)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: Annotated[int, Field(ge=0)] = 0
    """The number of random subsets in a step; all rows share them."""
    sampling: Literal["uniform", "by_size"] = "uniform"
    """`uniform` draws from all subsets with more than one and fewer than all modalities, as in the paper; `by_size`
    draws the size first, as its authors' code does."""


class MVAE(ManyDraws):
    """The MVAE: one Gaussian expert for each modality, joined by a product of experts with the prior.

    Training maximises the sum, over distinct subsets Y of the modalities that a row has (all of them, each alone, and
    the intersections with k random subsets), of

        sum_{i in Y} λ_i E_q(z | Y)[log p(x_i | z)] - β KL(q(z | Y) || p(z)).

    A record is one modality here, with one expert. With `train.hide`, q reads what is visible of Y, and all known
    values of Y are scored.

    With the normal prior, the product has one more expert, the prior, as in the paper; with another it has none but
    those of the modalities.

    Source: Wu & Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning", NeurIPS 2018.
    """

    kind: Literal["mvae"] = "mvae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    subsets: SubsetOptions = SubsetOptions()
    """The random subsets."""

    @model_validator(mode="before")
    @classmethod
    def _without_banks(cls, options: Any, info: ValidationInfo) -> Any:
        """Drop the option `banks` of version 0.1, with a note where it was set."""
        if not isinstance(options, Mapping) or "banks" not in options:
            return options
        if options["banks"] and info.context is not None:
            info.context.get("notes", []).append("model.banks: has no effect since version 0.2; remove it")
        return {key: value for key, value in options.items() if key != "banks"}

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Without random subsets, and with two, drawn both ways."""
        draws: tuple[dict[str, Any], ...] = ({}, {"k": 2}, {"k": 2, "sampling": "by_size"})
        return (cls(latent_dim=2, subsets=SubsetOptions.model_validate(options)) for options in draws)

    def build(self, modalities: Mapping[str, Unit]) -> MVAENetwork:
        """Encoders and decoders for these modalities."""
        if self.subsets.k and len(modalities) < 3:
            raise UserError(
                f"model.subsets.k: is {self.subsets.k}, but {len(modalities)} modalities have no subset between one "
                "and all of them; set it to 0"
            )
        return MVAENetwork(modalities, self.latent_dim, self.subsets, self.prior, self.draws, self.gradient)


class _Plan(NamedTuple):
    """What a step does: a function of presence and subsets alone.

    Of U units, B rows and S = 1 + k products, all and the cuts. The terms are those of the products, then those of
    each unit alone. A term that sees nothing of its units is left out.
    """

    pairs: Pairs
    members: Tensor  # (S, U, B) bool, who enters each product
    products: Tensor  # the pairs of products in (S B)
    alone: Tensor  # the pairs of one alone, among the packed experts


def _plan(present: Tensor, visible: Tensor, subsets: Tensor, device: torch.device) -> _Plan:
    """Plan on the host, from what rows have and show, (B, U) each, and subsets (k, U); indices lie on the device."""
    size, units = present.shape
    terms = distinct_terms(present, subsets)
    scored = torch.cat([present.unsqueeze(0), terms.cuts])  # (S, B, U)
    members = scored & visible
    drawn = members.any(2)
    alone = (terms.alone & visible).T  # (U, B)
    each = torch.eye(units, dtype=torch.bool).unsqueeze(1).expand(units, size, units)
    noise = [0, *range(1 + units, units + len(scored)), *range(1, 1 + units)]
    pairs = plan_pairs(torch.cat([scored, each]), present, device, torch.cat([drawn, alone]), noise)
    slots = visible.T.flatten().nonzero().squeeze(1)
    return _Plan(
        pairs=pairs,
        members=sent(members.permute(0, 2, 1), device),
        products=sent(drawn.flatten().nonzero().squeeze(1), device),
        alone=sent(alone.flatten()[slots].nonzero().squeeze(1), device),
    )


class MVAENetwork(TermsNetwork):
    """The networks of an MVAE."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        subsets: SubsetOptions,
        prior: Prior | None = None,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        super().__init__(modalities, latent_dim, prior=prior, draws=draws, gradient=gradient)
        self._prior_expert = isinstance(self.prior, StandardNormal)
        self.subset_options = subsets

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The product of the members, and of a normal prior: (B, D)."""
        return product_of_experts(experts, members.unsqueeze(0), self._prior_expert)[0]

    def product(self, batch: Batch) -> ExpertProduct:
        """The product of the experts that a row has, and of a normal prior."""
        return self.expert_product(batch, self._prior_expert)

    def noise_terms(self, subsets: int) -> int:
        """One for all units, one for each alone in schema order, and one for each subset.

        A cut that repeats a subset of its row uses the noise of the first.
        """
        return 1 + len(self.units) + subsets

    def draw_subsets(self) -> Tensor:
        """As `model.subsets` says: (k, U) bool."""
        return draw_subsets(len(self.units), self.subset_options.k, sampling=self.subset_options.sampling)

    def terms(self, step: Step) -> Terms:
        """The terms of Wu & Goodman 2018, section 2.4, for rows that lack any units."""
        plan = step.plan(lambda: _plan(step.present, step.seen, step.subsets, step.batch.device))
        product = product_of_experts(step.experts, plan.members, self._prior_expert)
        q = _selected(Gaussian(product.mean.flatten(0, 1), product.logvar.flatten(0, 1)), plan.products)
        if len(plan.alone):
            alone = _selected(step.packed[0], plan.alone)
            alone = product_with_prior(alone) if self._prior_expert else product_alone(alone)
            q = Gaussian.joined([q, alone])
        return Terms(q, plan.pairs)


def _selected(q: Gaussian, places: Tensor) -> Gaussian:
    """The rows of q (N, D) at ascending places (n,); q itself if these are all."""
    return q if len(places) == len(q.mean) else q.take(places)
