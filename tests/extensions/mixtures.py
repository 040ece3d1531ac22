"""Two models whose posterior is a mixture: MMVAE, of the modalities' experts, and MoPoE, of all their products."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor

from mmtoolkit import (
    Batch,
    Component,
    Gaussian,
    Mixture,
    Model,
    Network,
    Unit,
    UserError,
    hookimpl,
    product_of_experts,
)

MOST = 10  # modalities of a MoPoE, which has 2^M - 1 products: 1,023 of them


class MixtureNetwork(Network):
    """Encoders and decoders whose posterior mixes the products of the experts of some sets of modalities.

    A row mixes the sets all of which is given and there; where there is none, z has the prior.

    Args:
        modalities: M of them, by name.
        latent_dim: D.
        sets: (S, M) bool, the members of each set.
    """

    def __init__(self, modalities: Mapping[str, Unit], latent_dim: int, sets: Tensor) -> None:
        super().__init__(modalities, latent_dim)
        self.sets = sets

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior(self, batch: Batch, given: frozenset[str]) -> Mixture:
        """The mixture over the sets that a row has of the given: (B, D)."""
        visible = batch.only(given)
        valid = (visible.present | ~self.sets.unsqueeze(1)).all(2)  # (S, B)
        entering = (self.sets.unsqueeze(1) & valid.unsqueeze(2)).transpose(1, 2)  # (S, M, B)
        parts = product_of_experts(self.experts(visible), entering.to(batch.device), prior=False)
        valid[0] |= ~valid.any(0)  # nothing enters, so this part is the prior
        return Mixture.equal(parts, valid.to(batch.device))

    @abstractmethod
    def draws(self, q: Mixture, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the loss is made of: draws z (K, B, D), the weight of each, (K, B), and the KL divergence (B,)."""

    @property
    @abstractmethod
    def terms(self) -> int:
        """K, how many draws of z a row takes."""

    def forward(
        self,
        batch: Batch,
        beta: float = 1.0,
        subsets: Tensor | None = None,
        noise: Tensor | None = None,
        visible: Batch | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative ELBO of everything a row has; noise (K, B, D), no subsets are drawn.

        Rows that have nothing add 0: z has the prior, and there is nothing to reconstruct.
        """
        if noise is None:
            noise = torch.randn(self.terms, batch.size, self.latent_dim, device=batch.device)
        seen = batch if visible is None else visible
        z, weight, kl = self.draws(self.posterior(seen, frozenset(self.modalities)), noise)
        number = max(int(batch.present.any(1).sum()), 1)
        divergence = kl.sum() / number
        loss = beta * divergence
        parts = {f"log p({name})": torch.zeros_like(divergence) for name in self.modalities}
        for name, log_prob in self.log_prob(z.flatten(0, 1), batch, self.targets).items():
            mean = (weight * log_prob.view(weight.shape)).sum() / number
            loss = loss - self.modalities[name].weight * mean
            parts[f"log p({name})"] = mean.detach()
        return loss, {**parts, "KL": divergence.detach()}


class MMVAE(Model):
    """The MMVAE: a mixture of the modalities' Gaussian experts.

    Trained, by one draw from each of the S experts that a row has, on the stratified bound

        1/S sum_s E_q_s[sum_i λ_i log p(x_i | z) - β (log q(z | x) - log p(z))], q(z | x) = 1/S sum_s q_s(z | x_s).

    Source: Shi, Siddharth, Paige & Torr, "Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative
    Models", NeurIPS 2019, whose experts are Laplace and whose bound has several importance samples; these are Gaussian,
    and it has one.
    """

    kind: Literal["mmvae"] = "mmvae"

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        return MMVAENetwork(modalities, self.latent_dim, torch.eye(len(modalities), dtype=torch.bool))


class MMVAENetwork(MixtureNetwork):
    """The networks of an MMVAE. All decoders run once for each expert."""

    @property
    def terms(self) -> int:
        """One for each expert, in schema order."""
        return len(self.sets)

    def draws(self, q: Mixture, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A draw from each expert, of which those count that a row has."""
        z = q.parts.rsample(noise)
        zeros = torch.zeros_like(q.mean)
        above_prior = q.log_prob(z) - Gaussian(zeros, zeros).log_prob(z)
        return z, q.shares, (q.shares * above_prior).sum(0)


class MoPoE(Model):
    """The MoPoE-VAE: a mixture of the products of experts of all non-empty sets of the modalities that a row has.

    Trained on E_q[sum_i λ_i log p(x_i | z)] - β KL(q(z | x) || p(z)), by one draw from the mixture. The products leave
    out the prior, as in the paper. There are 2^M - 1 of them, so it takes up to 10 modalities.

    Source: Sutter, Daunhawer & Vogt, "Generalized Multimodal ELBO", ICLR 2021. What they minimise in their code is not
    the mixture's KL divergence but the mean of the products', which is larger.
    """

    kind: Literal["mopoe"] = "mopoe"

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        m = len(modalities)
        if m > MOST:
            raise UserError(
                f"model: mopoe mixes all sets of up to {MOST} modalities, and there are {m}; join some, or use mmvae"
            )
        numbers = torch.arange(1, 2**m).unsqueeze(1)  # the bits of each number are a set's members
        return MoPoENetwork(modalities, self.latent_dim, numbers.bitwise_and(2 ** torch.arange(m)) > 0)


class MoPoENetwork(MixtureNetwork):
    """The networks of a MoPoE. All decoders run once."""

    @property
    def terms(self) -> int:
        """One draw from the whole mixture."""
        return 1

    def draws(self, q: Mixture, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A draw from the mixture, and the KL divergence estimated by it."""
        return q.rsample(noise), torch.ones_like(noise[..., 0]), q.kl(noise)


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [MMVAE, MoPoE]
