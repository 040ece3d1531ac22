"""The multimodal VAE with a Wasserstein barycentre of experts, or a mixture of barycentres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Self

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Gradient, ManyDraws, Network, Part, Prior, Step, Terms, Unit
from mmtoolkit.core.batch import sent
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.pooling import barycentre
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models.pooled import PooledNetwork
from mmtoolkit.priors import NormalPrior

_MOST = 10  # modalities, of 1,023 sets


class Barycentre(ManyDraws):
    """The WB-VAE: q is the 2-Wasserstein barycentre of the experts, whose means and standard deviations are averages.

    Training maximises E_q(z | x)[sum_i λ_i log p(x_i | z)] - β KL(q(z | x) || p(z)) over all that a row has. The
    experts that a row has count equally, and the prior is no expert.

    With `mixture`, the MWB-VAE, q in training is the mixture in equal shares of the barycentres of all sets of the
    row's modalities; its divergence is estimated from the draw. q(z | given) then is the barycentre of the given.

    Source: Qiu et al., "Multimodal Variational Autoencoder: A Barycentric View", AAAI 2025.
    """

    kind: Literal["barycentre"] = "barycentre"

    prior: Part[Prior] = NormalPrior()
    """p(z), the distribution of z before anything is known of a row."""
    mixture: bool = False
    """Whether to train with the mixture of the barycentres of all sets, of up to 10 modalities."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One barycentre, and the mixture."""
        return (cls(latent_dim=2, mixture=mixture) for mixture in (False, True))

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        if self.mixture and len(modalities) > _MOST:
            raise UserError(
                f"model.mixture: mixes the barycentres of all sets of up to {_MOST} modalities, and there are "
                f"{len(modalities)}; set it to false, or join some modalities in a record"
            )
        return BarycentreNetwork(modalities, self.latent_dim, self.mixture, self.prior, self.draws, self.gradient)


class BarycentreNetwork(PooledNetwork):
    """The networks of a WB-VAE or an MWB-VAE."""

    def __init__(
        self,
        modalities: Mapping[str, Unit],
        latent_dim: int,
        mixture: bool,
        prior: Prior,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        super().__init__(modalities, latent_dim, prior=prior, draws=draws, gradient=gradient)
        self.mixture = mixture

    def pool(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The barycentre, in equal weights."""
        return barycentre(experts, members)

    def terms(self, step: Step) -> Terms:
        """One, of the barycentre of all that a row shows, or of the mixture of those of its subsets."""
        return Terms(self._mixture(step), step.once()) if self.mixture else super().terms(step)

    def _mixture(self, step: Step) -> Mixture:
        """The barycentres of all sets of what a row shows, in equal shares."""
        units = len(self.units)
        sets = torch.arange(1, 2**units).unsqueeze(1).bitwise_right_shift(torch.arange(units)) % 2 == 1  # (S, U)
        valid = (~sets.unsqueeze(1) | step.seen).all(2)  # (S, B)
        members = sent(sets.unsqueeze(2) & valid.unsqueeze(1), step.batch.device)
        return Mixture.equal(self.pool(step.experts, members), sent(valid, step.batch.device))
