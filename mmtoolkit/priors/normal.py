"""The normal prior."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import PositiveFloat
from torch import Tensor

from mmtoolkit.components import Prior
from mmtoolkit.core.posterior import Gaussian, Posterior, at_least_float32
from mmtoolkit.core.prior import PriorModule, StandardNormal
from mmtoolkit.priors.scale import Scale


class NormalPrior(Prior):
    """A normal distribution around zero for each latent variable, by default N(0, I), which learns nothing."""

    kind: Literal["normal"] = "normal"

    scale: PositiveFloat | Literal["learned"] = 1.0
    """The standard deviation; `learned` is one for each latent variable, of mean 1 over them (Shi et al. 2019)."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """N(0, I), and one that learns its scale."""
        return (cls(), cls(scale="learned"))

    def build(self, latent_dim: int) -> PriorModule:
        """The distribution over D latent variables."""
        return StandardNormal(latent_dim) if self.scale == 1.0 else CentredNormal(latent_dim, self.scale)


class CentredNormal(PriorModule):
    """D independent normal distributions around zero with a scale that is set or learned."""

    def __init__(self, latent_dim: int, scale: float | Literal["learned"]) -> None:
        super().__init__(latent_dim)
        self.scale = Scale(latent_dim, scale)

    @property
    def _gaussian(self) -> Gaussian:
        return Gaussian(self.mean, 2 * self.scale.log(self.mean))

    def log_prob(self, z: Tensor) -> Tensor:
        """-sum((z / scale)² / 2 + log(scale √2π)): (...,)."""
        return self._gaussian.log_prob(at_least_float32(z))

    def sample(self, noise: Tensor) -> Tensor:
        """The noise times the scale."""
        return self._gaussian.rsample(at_least_float32(noise))

    @property
    def mean(self) -> Tensor:
        """Zeros: (D,)."""
        return at_least_float32(self.origin)

    @property
    def variance(self) -> Tensor:
        """The squares of the scale: (D,)."""
        return self._gaussian.variance

    def kl(self, q: Posterior, noise: Tensor) -> Tensor:
        """KL(q || p) of each row: (B,), nats; in closed form for a Gaussian q, else estimated by the noise."""
        return q.kl_to(self._gaussian) if isinstance(q, Gaussian) else super().kl(q, noise)
