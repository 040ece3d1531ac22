"""The Laplace prior."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import PositiveFloat
from torch import Tensor

from mmtoolkit.components import Prior
from mmtoolkit.core.laplace import Laplace
from mmtoolkit.core.posterior import at_least_float32
from mmtoolkit.core.prior import PriorModule
from mmtoolkit.priors.scale import Scale


class LaplacePrior(Prior):
    """A Laplace distribution around zero for each latent variable. It learns nothing, or its scale."""

    kind: Literal["laplace"] = "laplace"

    scale: PositiveFloat | Literal["learned"] = 1.0
    """b of the density exp(-|z| / b) / 2b, whose variance is 2 b²; `learned` is one b for each latent variable, of mean
    1 over them (Shi et al. 2019)."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One that learns nothing, and one that learns its scale."""
        return (cls(), cls(scale="learned"))

    def build(self, latent_dim: int) -> PriorModule:
        """The distribution over D latent variables."""
        return CentredLaplace(latent_dim, self.scale)


class CentredLaplace(PriorModule):
    """D independent Laplace distributions around zero with a scale that is set or learned."""

    def __init__(self, latent_dim: int, scale: float | Literal["learned"]) -> None:
        super().__init__(latent_dim)
        self.scale = Scale(latent_dim, scale)

    @property
    def _laplace(self) -> Laplace:
        return Laplace(self.mean, self.scale.log(self.mean))

    def log_prob(self, z: Tensor) -> Tensor:
        """-sum(|z| / b + log 2b): (...,)."""
        return self._laplace.log_prob(at_least_float32(z))

    def sample(self, noise: Tensor) -> Tensor:
        """The quantile of each number: the tail beyond z holds as much as the normal tail beyond the noise."""
        return self._laplace.rsample(noise)

    @property
    def mean(self) -> Tensor:
        """Zeros: (D,)."""
        return at_least_float32(self.origin)

    @property
    def variance(self) -> Tensor:
        """2 b²: (D,)."""
        return self._laplace.variance
