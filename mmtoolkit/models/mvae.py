"""The multimodal variational autoencoder of Wu & Goodman (2018)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import torch
from pydantic import ConfigDict, Field, ValidationInfo, model_validator
from torch import Tensor
from torch.nn import functional as F

from mmtoolkit.base.described import Described
from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Model, Network, Part, Prior, Unit
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian, product_alone, product_of_experts, product_with_prior
from mmtoolkit.core.prior import StandardNormal
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


class MVAE(Model):
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
        return MVAENetwork(modalities, self.latent_dim, self.subsets, self.prior)


class _Plan(NamedTuple):
    """The (term, row) pairs of a step and where their parts stand: a function of presence and subsets alone.

    Of M units, B rows and S = 1 + k products, all and the cuts. Pairs are those of the products that see anything
    first, then those of each unit alone. A term that sees nothing of its units is left out.
    """

    scored: int  # rows that show anything
    members: Tensor  # (S, M, B) bool, who enters each product
    slots: Tensor  # the visible (unit, row) pairs in (M B), ascending
    kept: Tensor  # the products' pairs in (S B)
    alone: Tensor  # the pairs of one alone, among the slots
    noise: Tensor  # every pair in (terms B)
    targets: Tensor  # the pairs whose term reconstructs a unit, those of each unit in turn
    counts: list[int]  # how many there are of each unit
    places: Tensor  # where the row of each target stands among those that have the unit


def _plan(present: Tensor, visible: Tensor, subsets: Tensor, device: torch.device) -> _Plan:
    """Plan on the host, from what rows have and show, (B, M) each, and subsets (k, M); indices lie on the device."""
    size, m = present.shape
    terms = distinct_terms(present, subsets)
    scored = torch.cat([present.unsqueeze(0), terms.cuts])  # (S, B, M)
    members = scored & visible
    kept = members.any(2).flatten().nonzero().squeeze(1)
    pairs = scored.flatten(0, 1)[kept]
    slots = visible.T.flatten().nonzero().squeeze(1)
    alone = terms.alone.T.flatten()[slots].nonzero().squeeze(1)
    rows = torch.cat([kept, slots[alone]]) % size
    noise = torch.cat([torch.where(kept < size, kept, kept + m * size), size + slots[alone]])
    # Each pair of one alone reconstructs the modality of its slot.
    owners = slots.index_select(0, alone).div(size, rounding_mode="floor")
    reconstructs = torch.cat([pairs, F.one_hot(owners, m).bool()]).T  # (M, pairs)
    owners, targets = reconstructs.nonzero().unbind(1)
    ranks = (present.cumsum(0) - 1).flatten()  # of (B M)
    places = ranks.index_select(0, rows.index_select(0, targets) * m + owners)
    return _Plan(
        scored=int(visible.any(1).sum()),
        members=sent(members.permute(0, 2, 1), device),
        slots=sent(slots, device),
        kept=sent(kept, device),
        alone=sent(alone, device),
        noise=sent(noise, device),
        targets=sent(targets, device),
        counts=reconstructs.sum(1).tolist(),
        places=sent(places, device),
    )


class MVAENetwork(Network):
    """The networks of an MVAE.

    Each unit is encoded once a step, all products are taken at once, and each decoder runs once over just the
    (subset, row) pairs whose subset holds its unit.
    """

    weights: Tensor
    """λ of each modality, (M,) float64."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        subsets: SubsetOptions,
        prior: Prior | None = None,
    ) -> None:
        super().__init__(modalities, latent_dim, prior=prior)
        self._prior_expert = isinstance(self.prior, StandardNormal)
        weights = torch.tensor([modality.weight for modality in self.modalities.values()], dtype=torch.float64)
        self.register_buffer("weights", weights, persistent=False)
        self.subset_options = subsets
        self._last_plan: tuple[object, _Plan] | None = None

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        """The product of the experts of the given units that a row has, and of a normal prior: (B, D)."""
        visible = batch.only(self.flat(given))
        there = self.there(visible).T
        present = sent(there.unsqueeze(0), batch.device)  # (1, M, B)
        slots = there.flatten().nonzero().squeeze(1)
        experts = self._stacked(self._experts(visible), sent(slots, batch.device), batch.size)
        joint = product_of_experts(experts, present, self._prior_expert)
        return Gaussian(joint.mean[0], joint.logvar[0])

    def forward(
        self,
        batch: Batch,
        beta: float = 1.0,
        subsets: Tensor | None = None,
        noise: Tensor | None = None,
        visible: Batch | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of Wu & Goodman 2018, section 2.4, for rows that lack any modalities.

        Args:
            batch: B rows of M units.
            beta: the weight β of the KL divergence.
            subsets: (k, M) bool; by default the model draws them.
            noise: (1 + M + k, B, D), for all units, each alone in schema order, then the subsets; by default the
                model draws it. A cut that repeats a subset of its row uses the noise of the first.
            visible: the same rows with what z is inferred from. By default `batch`.

        Returns:
            The loss in nats, and its parts: `log p(NAME)` for each modality and `KL`, unweighted, each summed over
            the terms of a row and averaged over the rows that have anything.
        """
        m, size = len(self.units), batch.size
        visible = batch if visible is None else visible
        if subsets is None:
            subsets = draw_subsets(m, self.subset_options.k, sampling=self.subset_options.sampling)
        if noise is None:
            noise = torch.randn(1 + m + len(subsets), size, self.latent_dim, device=batch.device)
        plan = self._planned(self.there(batch), self.there(visible), subsets, batch.device)
        experts = self._experts(visible)
        product = product_of_experts(self._stacked(experts, plan.slots, size), plan.members, self._prior_expert)
        q = _selected(Gaussian(product.mean.flatten(0, 1), product.logvar.flatten(0, 1)), plan.kept)
        if len(plan.alone):
            alone = _selected(experts, plan.alone)
            q = _joined(q, product_with_prior(alone) if self._prior_expert else product_alone(alone))
        noise = noise.flatten(0, 1).index_select(0, plan.noise)
        z = q.rsample(noise)

        count = max(plan.scored, 1)
        kl = self.prior.kl(q, noise).sum() / count
        log_probs = self._log_probs(batch, plan, z) / count
        loss = beta * kl - (self.weights.to(log_probs.dtype) * log_probs).sum()
        names = [f"log p({name})" for name in self.modalities]
        return loss, {**dict(zip(names, log_probs.detach().unbind(), strict=True)), "KL": kl.detach()}

    def _log_probs(self, batch: Batch, plan: _Plan, z: Tensor) -> Tensor:
        """Log p(x | z) of each modality, summed over the pairs whose term reconstructs it: (M,); 0 if there is none."""
        # One selection for all modalities: its gradient is one sum, not a sum of M as large as z.
        draws = z.index_select(0, plan.targets).split(plan.counts)
        places = plan.places.split(plan.counts)
        sums = []
        for unit, drawn, place in zip(self.units, draws, places, strict=True):
            if len(place):
                value = self.value(unit, batch).index_select(0, place)
                sums.append(self.unit_log_probs(self.decoders.of(unit)(drawn), value).sum(0))
            else:
                sums.append(z.new_zeros(len(self.members[unit])))
        return torch.cat(sums)

    def _planned(self, present: Tensor, visible: Tensor, subsets: Tensor, device: torch.device) -> _Plan:
        """The plan of a step; the last one where nothing changed, as in every step on complete data."""
        rows = (rows.numpy().tobytes() for rows in (present, visible))
        key = (present.shape, *rows, subsets.cpu().numpy().tobytes(), device)
        if self._last_plan is None or self._last_plan[0] != key:
            self._last_plan = key, _plan(present, visible, subsets.cpu(), device)
        return self._last_plan[1]

    def _experts(self, batch: Batch) -> Gaussian:
        """The experts of the present (unit, row) pairs, each unit encoded once: (n, D)."""
        there = (unit for unit in self.units if len(self.rows(unit, batch)))
        parameters = [self.encoders.of(unit)(self.value(unit, batch)) for unit in there]
        if parameters:
            mean, logvar = torch.cat(parameters).chunk(2, dim=-1)
            return Gaussian(mean, logvar)
        blank = next(self.parameters()).new_zeros(0, self.latent_dim).to(batch.device)
        return Gaussian(blank, blank)

    def _stacked(self, experts: Gaussian, slots: Tensor, size: int) -> Gaussian:
        """The experts (n, D) at their slots among all (unit, row) pairs: (M, B, D); zeros stand elsewhere."""
        shape = (len(self.units), size, self.latent_dim)
        if len(slots) == shape[0] * size:
            return Gaussian(experts.mean.view(shape), experts.logvar.view(shape))
        blank = experts.mean.new_zeros(shape).flatten(0, 1)
        mean, logvar = (blank.index_copy(0, slots, x).view(shape) for x in (experts.mean, experts.logvar))
        return Gaussian(mean, logvar)


def _joined(*parts: Gaussian) -> Gaussian:
    return Gaussian(torch.cat([q.mean for q in parts]), torch.cat([q.logvar for q in parts]))


def _selected(q: Gaussian, places: Tensor) -> Gaussian:
    """The rows at the given places (n,), ascending."""
    if len(places) == len(q.mean):
        return q
    return Gaussian(q.mean.index_select(0, places), q.logvar.index_select(0, places))
