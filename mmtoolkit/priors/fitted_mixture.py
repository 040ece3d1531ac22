"""A mixture of Gaussians with full covariances, fitted to given z."""

from __future__ import annotations

import math
import warnings
from types import ModuleType

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.core.mixtures import choose
from mmtoolkit.core.posterior import at_least_float32
from mmtoolkit.core.prior import PriorModule

_ROUNDS = 200
_FLOOR = 1e-4  # added to each variance, as a share of the mean variance of z: a component of few rows has a volume too


def import_mixtures(place: str) -> ModuleType:
    """The module of scikit-learn that has mixtures of Gaussians.

    Args:
        place: what asks for it, with which the error begins.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        from sklearn import mixture
    except ImportError:
        raise UserError(
            f"{place}: the sampler mixture needs the package scikit-learn; install it with pip install "
            "'mmtoolkit[sklearn]', or remove it"
        ) from None
    module: ModuleType = mixture
    return module


class FittedMixture(PriorModule):
    """A mixture of C Gaussians with full covariances, whose numbers are given.

    Unlike `Mixture`, which training learns with the model, its components may lean: the aggregate of posteriors of a
    trained model is seldom parallel to the axes of z.

    Args:
        weights: (C,), with sum 1.
        means: (C, D).
        scales: (C, D, D), the lower Cholesky factors of the covariances.
    """

    weights: Tensor
    means: Tensor
    scales: Tensor

    def __init__(self, weights: Tensor, means: Tensor, scales: Tensor) -> None:
        super().__init__(means.shape[1])
        self.register_buffer("weights", weights)
        self.register_buffer("means", means)
        self.register_buffer("scales", scales)

    def log_prob(self, z: Tensor) -> Tensor:
        """The logarithm of the weighted sum of densities: (...,)."""
        z = at_least_float32(z)
        each = []
        for weight, mean, scale in zip(self.weights, self.means, self.scales, strict=True):
            rows = (z - mean).reshape(-1, self.latent_dim)
            whitened = torch.linalg.solve_triangular(scale, rows.T, upper=False).T.reshape(z.shape)
            volume = scale.diagonal().log().sum() + self.latent_dim / 2 * math.log(2 * math.pi)
            each.append(weight.log() - volume - 0.5 * whitened.square().sum(-1))
        return torch.stack(each).logsumexp(0)

    def sample(self, noise: Tensor) -> Tensor:
        """A draw from the component that the first number of each noise chooses."""
        place, noise = choose(self.weights.unsqueeze(1), at_least_float32(noise).unsqueeze(-2))
        place, noise = place.squeeze(-1), noise.squeeze(-2)
        z = torch.zeros_like(noise)
        for c, (mean, scale) in enumerate(zip(self.means, self.scales, strict=True)):
            z = torch.where((place == c).unsqueeze(-1), mean + noise @ scale.T, z)
        return z

    @property
    def mean(self) -> Tensor:
        """(D,)."""
        return self.weights @ self.means

    @property
    def variance(self) -> Tensor:
        """(D,), within the components and between their means."""
        within = self.scales.square().sum(-1)  # the diagonals of the covariances
        return self.weights @ (within + (self.means - self.mean).square())


def fit_mixture(z: Tensor, components: int, seed: int, place: str) -> tuple[FittedMixture, list[str]]:
    """Fit a mixture of Gaussians by expectation maximisation, from a start by k-means, and notes.

    Args:
        z: (N, D).
        components: C, at most N.
        seed: of the start.
        place: what asks for it, with which an error begins.

    Raises:
        UserError: scikit-learn is not installed, or there are fewer rows than components.
    """
    mixtures = import_mixtures(place)
    if len(z) < components:
        raise UserError(f"{place}: {len(z):,} rows are too few for a mixture of {components} Gaussians; take fewer")
    rows = z.detach().cpu().double().numpy()
    floor = _FLOOR * float(rows.var(0).mean()) or _FLOOR
    fit = mixtures.GaussianMixture(components, max_iter=_ROUNDS, reg_covar=floor, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is in the note, or in the rows of one component
        fit.fit(rows)
    notes = [] if fit.converged_ else [f"{place}: the mixture still changed after {_ROUNDS} rounds"]
    scales = torch.linalg.cholesky(torch.from_numpy(fit.covariances_))
    numbers = (torch.from_numpy(fit.weights_), torch.from_numpy(fit.means_), scales)
    mixture = FittedMixture(*(number.float().contiguous() for number in numbers))
    return mixture.eval(), notes
