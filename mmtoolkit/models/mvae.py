"""The multimodal variational autoencoder of Wu & Goodman (2018)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from mmtoolkit.batch import Batch
from mmtoolkit.components import Modality, Model, Network
from mmtoolkit.errors import UserError
from mmtoolkit.posterior import Gaussian, product_of_experts, product_with_prior
from mmtoolkit.subsets import Sampling, Terms, distinct_terms, draw_subsets


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


class _Draws(NamedTuple):
    """Draws of z for some rows, each from its own subset."""

    z: Tensor  # (n, D)
    kl: Tensor  # (n,)
    rows: Tensor  # (n,) int64, on the host
    members: Tensor  # (n, M) bool, on the host: whom the term reconstructs


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
        experts = {name: self.expert(name, visible) for name in self.modalities}
        present = visible.present.T.unsqueeze(0)  # (1, M, B)
        joint = product_of_experts(self._stacked(experts, visible), present.to(batch.device))
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
        m, k = len(self.modalities), self.subset_options.k
        if subsets is None:
            subsets = draw_subsets(m, k, sampling=self.subset_options.sampling)
        present = batch.present
        terms = distinct_terms(present, subsets)
        if noise is None:
            shape = (1 + m + len(subsets), batch.size, self.latent_dim)
            noise = torch.randn(shape, device=batch.device)

        experts = {name: self.expert(name, batch) for name in self.modalities}
        draws = [self._from_products(experts, batch, present, terms, noise)]
        for i, expert in enumerate(experts.values()):
            if expert is not None and terms.alone[:, i].any():
                draws.append(self._alone(i, expert, present, terms, noise[1 + i]))

        rows = max(int(terms.joint.sum()), 1)
        kl = sum((draw.kl.sum() for draw in draws), start=noise.new_zeros(())) / rows
        loss = beta * kl
        parts: dict[str, Tensor] = {}
        for i, (name, modality) in enumerate(self.modalities.items()):
            log_prob = self._log_prob(i, name, batch, present, draws)
            log_prob = log_prob.sum() / rows if log_prob is not None else torch.zeros_like(kl)
            loss = loss - modality.weight * log_prob
            parts[f"log p({name})"] = log_prob.detach()
        return loss, {**parts, "KL": kl.detach()}

    def _stacked(self, experts: Mapping[str, Gaussian | None], batch: Batch) -> Gaussian:
        """The experts of all rows, (M, B, D); zeros stand where a row lacks one."""
        dtype = next(self.parameters()).dtype

        def spread(name: str, expert: Gaussian | None) -> tuple[Tensor, Tensor]:
            if expert is None:
                blank = torch.zeros(batch.size, self.latent_dim, device=batch.device, dtype=dtype)
                return blank, blank
            if len(expert.mean) == batch.size:
                return expert.mean, expert.logvar
            rows = batch.rows(name).to(batch.device)
            blank = expert.mean.new_zeros(batch.size, self.latent_dim)
            return blank.index_copy(0, rows, expert.mean), blank.index_copy(0, rows, expert.logvar)

        means, logvars = zip(*(spread(name, expert) for name, expert in experts.items()), strict=True)
        return Gaussian(torch.stack(means), torch.stack(logvars))

    def _from_products(
        self,
        experts: Mapping[str, Gaussian | None],
        batch: Batch,
        present: Tensor,
        terms: Terms,
        noise: Tensor,
    ) -> _Draws:
        """Draws for the joint term and the cuts of the random subsets."""
        m = present.shape[1]
        members = torch.cat([present.unsqueeze(0), terms.cuts])  # (1 + k, B, M)
        product = product_of_experts(self._stacked(experts, batch), members.permute(0, 2, 1).to(batch.device))
        z = product.rsample(torch.cat([noise[:1], noise[1 + m :]])).flatten(0, 1)
        kl, members = product.kl().flatten(), members.flatten(0, 1)
        kept = members.any(1).nonzero().squeeze(1)
        rows = kept % batch.size
        if len(kept) == len(members):
            return _Draws(z, kl, rows, members)
        on_device = kept.to(batch.device)
        return _Draws(z.index_select(0, on_device), kl.index_select(0, on_device), rows, members.index_select(0, kept))

    def _alone(self, i: int, expert: Gaussian, present: Tensor, terms: Terms, noise: Tensor) -> _Draws:
        """Draws for the term of modality i alone."""
        rows = terms.alone[:, i].nonzero().squeeze(1)
        q = product_with_prior(_rows_of(expert, _places(present[:, i], rows)))
        members = torch.zeros(len(rows), present.shape[1], dtype=torch.bool)
        members[:, i] = True
        noise = noise if len(rows) == len(noise) else noise.index_select(0, rows.to(noise.device))
        return _Draws(q.rsample(noise), q.kl(), rows, members)

    def _log_prob(self, i: int, name: str, batch: Batch, present: Tensor, draws: list[_Draws]) -> Tensor | None:
        """Log p(x_i | z) over all draws whose term reconstructs modality i: (n,); None where there is none."""
        zs, places = [], []
        for draw in draws:
            chosen = draw.members[:, i].nonzero().squeeze(1)
            if not len(chosen):
                continue
            everything = len(chosen) == len(draw.z)
            zs.append(draw.z if everything else draw.z.index_select(0, chosen.to(draw.z.device)))
            places.append(_places(present[:, i], draw.rows[chosen]))
        if not zs:
            return None
        x = batch.value(name).index_select(0, torch.cat(places).to(batch.device))
        log_prob: Tensor = self.decoders[i](torch.cat(zs)).log_prob(x)
        return log_prob


def _places(present: Tensor, rows: Tensor) -> Tensor:
    """Where each row stands among the present ones."""
    return (present.cumsum(0) - 1)[rows]


def _rows_of(expert: Gaussian, places: Tensor) -> Gaussian:
    if len(places) == len(expert.mean):
        return expert
    places = places.to(expert.mean.device)
    return Gaussian(expert.mean.index_select(0, places), expert.logvar.index_select(0, places))
