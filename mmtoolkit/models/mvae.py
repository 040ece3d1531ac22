"""The multimodal variational autoencoder of Wu & Goodman (2018)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from mmtoolkit.batch import Batch, sent
from mmtoolkit.components import Modality, Model, Network
from mmtoolkit.errors import UserError
from mmtoolkit.posterior import Gaussian, product_of_experts, product_with_prior
from mmtoolkit.subsets import Sampling, distinct_terms, draw_subsets


class SubsetOptions(BaseModel):
    """The random subsets among the terms of a step (Wu & Goodman 2018, section 2.4)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    k: Annotated[int, Field(ge=0)] = 0
    """How many are drawn a step, shared by all rows."""
    sampling: Sampling = "uniform"
    """Uniform over all subsets between one and all modalities, as the paper has it, or `by_size`: the size first, as
    its authors' code does."""


class MVAE(Model):
    """The MVAE: one Gaussian expert for each modality, joined by a product of experts with the prior.

    Trained on the sum, over the distinct subsets Y of what a row has (all of it, each modality alone, and cuts of
    k random subsets), of

        sum_{i in Y} λ_i E_q(z | Y)[log p(x_i | z)] - β KL(q(z | Y) || p(z)).

    Source: Wu & Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning", NeurIPS 2018.
    """

    kind: Literal["mvae"] = "mvae"

    subsets: SubsetOptions = SubsetOptions()
    """The random subsets."""

    def build(self, modalities: Mapping[str, Modality]) -> MVAENetwork:
        """Encoders and decoders for these modalities."""
        if self.subsets.k and len(modalities) < 3:
            raise UserError(
                f"model.subsets.k: is {self.subsets.k}, but {len(modalities)} modalities have no subset between one "
                "and all of them; set it to 0"
            )
        return MVAENetwork(modalities, self.latent_dim, self.subsets)


class _Experts(NamedTuple):
    """The experts of every (modality, row) pair that is present, in one."""

    q: Gaussian  # (n, D)
    slots: Tensor  # (n,) int64, ascending, on the host: modality * B + row


class MVAENetwork(Network):
    """The networks of an MVAE.

    Each modality is encoded once a step, all products are taken at once, and each decoder runs once over just the
    (subset, row) pairs whose subset holds its modality.
    """

    def __init__(self, modalities: Mapping[str, Modality], latent_dim: int, subsets: SubsetOptions) -> None:
        super().__init__(modalities, latent_dim)
        self.subset_options = subsets

    def subsets(self) -> None:
        """Any subset."""
        return

    def infer(self, batch: Batch, given: Collection[str]) -> Gaussian:
        """The product of the prior and the experts of the given modalities that a row has: (B, D)."""
        self.check_names(given)
        visible = batch.only(given)
        present = visible.present.T.unsqueeze(0)  # (1, M, B)
        joint = product_of_experts(self._stacked(self._experts(visible), batch.size), sent(present, batch.device))
        return Gaussian(joint.mean[0], joint.logvar[0])

    def forward(
        self, batch: Batch, beta: float = 1.0, subsets: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of Wu & Goodman 2018, section 2.4, for rows that lack any modalities.

        Args:
            batch: B rows of M modalities.
            beta: the weight β of the KL divergence.
            subsets: (k, M) bool; drawn where it is None.
            noise: (1 + M + k, B, D), for all, each alone in schema order, then the subsets; drawn where None. A cut
                that repeats a subset of its row uses the noise of the first.

        Returns:
            The loss in nats, and its parts: `log p(NAME)` for each modality and `KL`, unweighted, each summed over
            the terms of a row and averaged over the rows that have anything.
        """
        m, size = len(self.modalities), batch.size
        if subsets is None:
            subsets = draw_subsets(m, self.subset_options.k, sampling=self.subset_options.sampling)
        if noise is None:
            noise = torch.randn(1 + m + len(subsets), size, self.latent_dim, device=batch.device)
        present = batch.present
        terms = distinct_terms(present, subsets)
        experts = self._experts(batch)

        # One draw of z for each (term, row) pair: first those of all and of the cuts, then those of each alone.
        members = torch.cat([present.unsqueeze(0), terms.cuts])  # (1 + k, B, M)
        product = product_of_experts(self._stacked(experts, size), sent(members.permute(0, 2, 1), batch.device))
        members = members.flatten(0, 1)
        kept = members.any(1).nonzero().squeeze(1)
        members = members[kept]
        alone = terms.alone.T.flatten()[experts.slots].nonzero().squeeze(1)
        slots = experts.slots[alone]
        q = _joined(
            _selected(Gaussian(product.mean.flatten(0, 1), product.logvar.flatten(0, 1)), kept),
            product_with_prior(_selected(experts.q, alone)),
        )
        rows = torch.cat([kept, slots]) % size
        noisy = torch.cat([torch.where(kept < size, kept, kept + m * size), size + slots])
        z = q.rsample(noise.flatten(0, 1).index_select(0, sent(noisy, noise.device)))

        count = max(int(terms.joint.sum()), 1)
        kl = q.kl().sum() / count
        loss = beta * kl
        parts: dict[str, Tensor] = {}
        ends = len(kept) + terms.alone.sum(0).cumsum(0)
        for i, (name, modality) in enumerate(self.modalities.items()):
            own = torch.arange(int(ends[i - 1]) if i else len(kept), int(ends[i]))
            chosen = torch.cat([members[:, i].nonzero().squeeze(1), own])  # the pairs whose term reconstructs it
            log_prob = torch.zeros_like(kl)
            if len(chosen):
                places = (present[:, i].cumsum(0) - 1)[rows[chosen]]  # of their rows among those that have it
                x = batch.value(name).index_select(0, sent(places, batch.device))
                p = self.decoders[i](z.index_select(0, sent(chosen, z.device)))
                log_prob = p.log_prob(x).sum() / count
            loss = loss - modality.weight * log_prob
            parts[f"log p({name})"] = log_prob.detach()
        return loss, {**parts, "KL": kl.detach()}

    def _experts(self, batch: Batch) -> _Experts:
        """The experts of all that is present, each modality encoded once."""
        experts, slots = [], []
        for i, name in enumerate(self.modalities):
            if (expert := self.expert(name, batch)) is not None:
                experts.append(expert)
                slots.append(i * batch.size + batch.rows(name))
        if not experts:
            blank = next(self.parameters()).new_zeros(0, self.latent_dim).to(batch.device)
            return _Experts(Gaussian(blank, blank), torch.zeros(0, dtype=torch.int64))
        return _Experts(_joined(*experts), torch.cat(slots))

    def _stacked(self, experts: _Experts, size: int) -> Gaussian:
        """The experts as (M, B, D); zeros stand where a row lacks one."""
        shape = (len(self.modalities), size, self.latent_dim)
        if len(experts.slots) == shape[0] * size:
            return Gaussian(experts.q.mean.view(shape), experts.q.logvar.view(shape))
        slots = sent(experts.slots, experts.q.mean.device)
        blank = experts.q.mean.new_zeros(shape).flatten(0, 1)
        mean, logvar = (blank.index_copy(0, slots, x).view(shape) for x in (experts.q.mean, experts.q.logvar))
        return Gaussian(mean, logvar)


def _joined(*parts: Gaussian) -> Gaussian:
    return Gaussian(torch.cat([q.mean for q in parts]), torch.cat([q.logvar for q in parts]))


def _selected(q: Gaussian, places: Tensor) -> Gaussian:
    """The given rows, places (n,) ascending, on the host."""
    if len(places) == len(q.mean):
        return q
    places = sent(places, q.mean.device)
    return Gaussian(q.mean.index_select(0, places), q.logvar.index_select(0, places))
