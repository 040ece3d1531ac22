"""The mixture-of-products-of-experts variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import (
    Divergence,
    Gradient,
    ManyDraws,
    Network,
    Pairs,
    Part,
    Prior,
    Step,
    Terms,
    TermsNetwork,
    Unit,
    plan_pairs,
)
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian, product_of_experts
from mmtoolkit.core.products import ExpertProduct
from mmtoolkit.core.subsets import draw_subsets
from mmtoolkit.models.shares import shares_of
from mmtoolkit.priors import NormalPrior


class MoPoE(ManyDraws):
    """The MoPoE-VAE: training mixes the products of experts of all non-empty subsets S of what a row has, X.

    It maximises, by one draw a row from the mixture,

        E_q(z | X)[sum_{i in X} λ_i log p(x_i | z)] - β KL(q(z | X) || p(z)), q(z | X) = mean over S of q_S(z),

    where q_S ∝ prod_{m in S} q(z | x_m). The prior is no expert. A trained model infers z from the product of all that
    is given, as the published scores do.

    In the authors' code the product of all modalities, and no other, has the prior as one more expert.

    Source: Sutter, Daunhawer & Vogt, "Generalized Multimodal ELBO", ICLR 2021.
    """

    kind: Literal["mopoe"] = "mopoe"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    divergence: Literal["mixture", "mean"] = "mixture"
    """`mixture` is the KL divergence of the mixture, estimated by its draw; `mean` is what the authors' code computes,
    the mean of those of the products, which is larger, and has a closed form for a normal prior."""
    most_subsets: Annotated[int, Field(ge=1, le=65_535)] = 1023
    """The largest number of subsets in a step. Where there are more, which is from 11 modalities on by default, a step
    mixes all modalities, each alone, and random subsets of all others, in equal shares."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Both divergences, and random subsets."""
        return (
            cls(latent_dim=2),
            cls(latent_dim=2, divergence="mean"),
            cls(latent_dim=2, most_subsets=5),
        )

    @model_validator(mode="after")
    def _check_draws(self) -> Self:
        if self.divergence == "mean" and self.draws > 1:
            raise ValueError(
                "divergence: the mean of the products' divergences has no bound of several draws; set draws to 1, or "
                "divergence to mixture"
            )
        return self

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        least = len(modalities) + 1
        if self.most_subsets < min(least, 2 ** len(modalities) - 1):
            raise UserError(
                f"model.most_subsets: is {self.most_subsets}, but all of the {len(modalities)} modalities and each "
                f"alone are {least} subsets; set it to {least} or more"
            )
        return MoPoENetwork(
            modalities, self.latent_dim, self.divergence, self.most_subsets, self.prior, self.draws, self.gradient
        )


class _Plan(NamedTuple):
    """What a step does: a function of presence and subsets alone."""

    pairs: Pairs
    members: Tensor  # (S, U, B) bool, who enters each product
    shares: Tensor  # (S, B)


def _plan(step: Step, sets: Tensor) -> _Plan:
    # A subset is cut to what its row shows. Of all subsets, as many become any one of the row's, so these have equal
    # shares; of subsets drawn at random they have equal shares on average.
    members = sets.unsqueeze(1) & step.seen  # (S, B, U)
    device = step.batch.device
    return _Plan(
        pairs=plan_pairs(torch.ones(1, *step.present.shape, dtype=torch.bool), step.present, device),
        members=sent(members.permute(0, 2, 1), device),
        shares=sent(shares_of(members.any(2)), device),
    )


def _all_subsets(m: int) -> Tensor:
    """All but the empty one, in the order of the numbers whose bits are their members: (2^m - 1, m) bool."""
    return torch.arange(1, 2**m).unsqueeze(1).bitwise_and(2 ** torch.arange(m)) > 0


class MoPoENetwork(TermsNetwork):
    """The networks of a MoPoE-VAE. All decoders run once."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        form: Literal["mixture", "mean"] = "mixture",
        most_subsets: int = 1023,
        prior: Prior | None = None,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        super().__init__(modalities, latent_dim, prior=prior, draws=draws, gradient=gradient)
        self.form = form
        m = len(modalities)
        every = 2**m - 1 <= most_subsets
        self._listed = _all_subsets(m) if every else torch.cat([torch.ones(1, m), torch.eye(m)]).bool()
        self._random = 0 if every else most_subsets - len(self._listed)

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The product of the members: (B, D)."""
        return product_of_experts(experts, members.unsqueeze(0), prior=False)[0]

    def product(self, batch: Batch) -> ExpertProduct:
        """The product of the experts that a row has, without the prior."""
        return self.expert_product(batch)

    def draw_subsets(self) -> Tensor:
        """The random subsets of a step, if there are too many to mix all: (k, U) bool."""
        return draw_subsets(len(self.units), self._random)

    def terms(self, step: Step) -> Terms:
        """One draw a row from the mixture."""
        plan = step.plan(lambda: _plan(step, torch.cat([self._listed, step.subsets])))
        parts = product_of_experts(step.experts, plan.members, prior=False)
        shares = plan.shares.to(parts.mean.dtype)
        q = Mixture.of_finite(parts, shares)
        if self.form == "mixture":
            return Terms(q, plan.pairs)
        each = Gaussian(parts.mean.flatten(0, 1), parts.logvar.flatten(0, 1))
        return Terms(q, plan.pairs, divergences=[Divergence(q=each, weight=shares.flatten())])
