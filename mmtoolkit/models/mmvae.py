"""The mixture-of-experts multimodal variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor

from mmtoolkit.components import (
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
from mmtoolkit.core.laplace import Laplace, softmax_scale
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian, Independent, Posterior
from mmtoolkit.core.prior import OrPrior
from mmtoolkit.models.shares import shares_of
from mmtoolkit.priors import NormalPrior


class MMVAE(ManyDraws):
    """The MMVAE: the posterior is the mixture, in equal shares, of the experts of the modalities that a row has, X.

    Training draws z from each expert in turn, reconstructs everything from it, and maximises

        1/|X| sum_{m in X} E_q(z | x_m)[sum_{i in X} λ_i log p(x_i | z) - β (log q(z | X) - log p(z))],

    with q(z | X) = 1/|X| sum_{j in X} q(z | x_j): the evidence lower bound. With K draws, each expert has the bound of
    its K draws, and training maximises the average of these over the experts, as the authors' runs do.

    Source: Shi, Siddharth, Paige & Torr, "Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative
    Models", NeurIPS 2019.
    """

    kind: Literal["mmvae"] = "mmvae"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    experts: Literal["gaussian", "laplace"] = "gaussian"
    """The family of q(z | x_m). `laplace` has the scale of the authors' code: softmax over dimensions, times their
    number. Set `prior: {kind: laplace, scale: learned}` with it for the authors' model."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Both families, and the doubly reparametrised gradient."""
        options: tuple[dict[str, Any], ...] = (
            {},
            {"experts": "laplace", "prior": {"kind": "laplace", "scale": "learned"}},
            {"draws": 3, "gradient": "dreg"},
        )
        return (cls(latent_dim=2, **each) for each in options)

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        return MMVAENetwork(modalities, self.latent_dim, self.experts, self.prior, self.draws, self.gradient)


class _Plan(NamedTuple):
    """What a step does: a function of presence alone.

    The N pairs are the experts that rows show, unit after unit.
    """

    pairs: Pairs
    shares: Tensor  # (U, B)
    places: Tensor | None  # of the pairs, among all (unit, row) pairs; None if these are all
    weight: Tensor  # (N,)


def _plan(step: Step) -> _Plan:
    drawn = step.seen.T  # (U, B)
    size, units = step.present.shape
    device, shares = step.batch.device, shares_of(drawn)
    return _Plan(
        pairs=plan_pairs(torch.ones(units, size, units, dtype=torch.bool), step.present, device, drawn),
        shares=sent(shares, device),
        places=None if drawn.all() else sent(drawn.flatten().nonzero().squeeze(1), device),
        weight=sent(shares[drawn], device),
    )


class MMVAENetwork(TermsNetwork):
    """The networks of an MMVAE. All decoders run once for each expert."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        family: Literal["gaussian", "laplace"] = "gaussian",
        prior: Prior | None = None,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        super().__init__(modalities, latent_dim, prior=prior, draws=draws, gradient=gradient)
        self.family = family

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Mixture:
        """The mixture of the members: (B, D); in a row without any, N(0, I) or a standard Laplace distribution."""
        family = self._experts(experts)
        return Mixture(family, shares_of(members).to(family.mean.dtype))

    def posterior(self, batch: Batch, given: frozenset[str]) -> Posterior:
        """The mixture of the experts of the given units that a row has, or the prior: (B, D)."""
        q = super().posterior(batch, given)
        some = self.there(batch.only(self.flat(given))).any(1)
        return q if self.family == "gaussian" or some.all() else OrPrior(q, sent(some, batch.device), self.need_prior())

    def noise_terms(self, subsets: int) -> int:
        """One for each expert, in schema order."""
        return len(self.units)

    def terms(self, step: Step) -> Terms:
        """A draw from each expert that a row shows."""
        plan = step.plan(lambda: _plan(step))
        experts = self._experts(step.experts)
        dtype = experts.mean.dtype
        q = Mixture(experts, plan.shares.to(dtype)).strata(plan.places)
        return Terms(q, plan.pairs, plan.weight.to(dtype))

    def _experts(self, raw: Gaussian) -> Independent:
        """Experts of the chosen family, of which `raw` holds what the encoders give."""
        return raw if self.family == "gaussian" else Laplace(raw.mean, softmax_scale(raw.logvar).log())
