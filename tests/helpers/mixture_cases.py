"""Three small modalities, and the experts and probabilities of single rows, for tests of models with a mixture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from hypothesis import settings
from torch import Tensor
from torch.distributions import Distribution, Laplace, Normal

from mmtoolkit.components import Modality, Model, TermsNetwork
from mmtoolkit.core.batch import Batch
from mmtoolkit.training.networks import build
from toys import Category, Vector, batch_of, randn, some_values

D = 2
NAMES = ("a", "b", "c")
MODALITIES: dict[str, Modality] = {"a": Vector(weight=0.7), "b": Vector(size=3), "c": Category(weight=2.0)}
HOLES = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]) > 0
STANDARD = Normal(torch.zeros(D).double(), 1.0)
FEW = settings(max_examples=12, deadline=None, derandomize=True)


def network_of(model: Model, modalities: Mapping[str, Any] = MODALITIES) -> Any:
    """Networks in float64, whose experts differ more than those of new networks."""
    network = build(model, modalities, seed=0).double()
    assert isinstance(network, TermsNetwork)
    with torch.no_grad():
        for parameter in network.encoders.parameters():
            parameter.mul_(1.5)
    return network


def some(present: Tensor, modalities: Mapping[str, Any] = MODALITIES) -> Batch:
    """Rows with what is present (B, M)."""
    return batch_of(some_values(modalities, len(present)), present)


def seen_of(batch: Batch, hidden: Tensor) -> Batch:
    """The batch without the cells that are hidden (B, M), but with the last cell that each row has."""
    last = batch.present.flip(1).cumsum(1).eq(1).flip(1) & batch.present
    return batch_of(some_values(MODALITIES, batch.size), batch.present & (~hidden | last))


def noise_for(network: Any, rows: int, seed: int = 7) -> Tensor:
    draws = (network.draws,) if network.draws > 1 else ()
    return randn(network.noise_terms(0), *draws, rows, network.latent_dim, seed=seed)


def value_of(batch: Batch, name: str, row: int) -> Tensor:
    return batch.value(name)[(batch.rows(name) == row).nonzero()[0]]


def log_probs_of(network: Any, batch: Batch, row: int, z: Tensor) -> dict[str, Tensor]:
    """Log p(x_i | z) of what a row has, for one z (D,)."""
    names = [name for m, name in enumerate(network.modalities) if batch.present[row, m]]
    return {name: network.decoders.of(name)(z[None]).log_prob(value_of(batch, name, row)).sum() for name in names}


def weighted(network: Any, log_probs: Mapping[str, Tensor]) -> Tensor:
    """The sum of log-probabilities, each times the λ of its modality."""
    terms = [network.modalities[name].weight * p for name, p in log_probs.items()]
    return torch.stack(terms).sum()


def experts_of(network: Any, batch: Batch, row: int, laplace: bool = False) -> dict[str, Any]:
    """The experts of what a row has, as distributions over D places."""
    experts: dict[str, Any] = {}
    for m, name in enumerate(network.modalities):
        if batch.present[row, m]:
            mean, raw = network.encoders.of(name)(value_of(batch, name, row))[0].chunk(2)
            if laplace:
                experts[name] = Laplace(mean, raw.softmax(0) * D + 1e-6)
            else:
                experts[name] = Normal(mean, (raw / 2).exp())
    return experts


def drawn(q: Distribution, noise: Tensor) -> Tensor:
    """The quantile of q that the noise is of a standard normal distribution."""
    return q.icdf(STANDARD.cdf(noise))


def product(experts: Iterable[Normal], weights: Sequence[float] | None = None) -> Normal:
    """Of Gaussians alone, without the prior, to the power of the weights."""
    experts = list(experts)
    powers = [1.0] * len(experts) if weights is None else weights
    precision = torch.stack([w / e.variance for w, e in zip(powers, experts, strict=True)]).sum(0)
    total = torch.stack([w * e.mean / e.variance for w, e in zip(powers, experts, strict=True)]).sum(0)
    return Normal(total / precision, precision**-0.5)


def log_mixture(parts: Iterable[Distribution], z: Tensor, shares: Sequence[float] | None = None) -> Tensor:
    """The log-density of a mixture at z (..., D): (...,)."""
    densities = [part.log_prob(z).sum(-1).exp() for part in parts]
    shares = [1 / len(densities)] * len(densities) if shares is None else shares
    return torch.stack([s * p for s, p in zip(shares, densities, strict=True)]).sum(0).log()


def choice(noise: Tensor, shares: Sequence[float]) -> tuple[int, Tensor]:
    """The part that noise (D,) chooses by its first number, and the noise that is left to draw from it."""
    u, below = float(STANDARD.cdf(noise)[0]), 0.0
    for part, share in enumerate(shares):
        if u < below + share or part == len(shares) - 1:
            break
        below += share
    rest = noise.clone()
    if share < 1:
        rest[0] = STANDARD.icdf(torch.tensor((u - below) / share, dtype=torch.float64))[0]
    return part, rest


def usable(batch: Batch) -> int:
    return max(int(batch.present.any(1).sum()), 1)


def assert_equal_parts(network: Any, batch: Batch, parts: Mapping[str, Tensor], sums: Mapping[str, Any]) -> None:
    """Whether the parts of a loss are sums over rows, divided by the usable rows."""
    assert list(parts) == [*(f"log p({name})" for name in network.modalities), *network.divergences()]
    for name, part in parts.items():
        expected = torch.as_tensor(sums.get(name, 0.0), dtype=torch.float64).detach() / usable(batch)
        torch.testing.assert_close(part, expected, rtol=1e-7, atol=1e-9)
        assert not part.requires_grad


def gradients_of(network: Any, loss: Tensor) -> Tensor:
    network.zero_grad()
    loss.backward()
    parameters = list(network.encoders.parameters())
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])


def compared_gradients(
    model: Callable[[str], Model], present: Tensor, beta: float, rows: int = 1600, seeds: int = 30
) -> tuple[Tensor, float]:
    """Whether two gradients of the encoders have the same expectation, and how much they vary.

    Each of `present` (B, M) stands for many rows, whose noise differs.

    Returns:
        The difference of the means over seeds, in standard errors; and the ratio of the spreads, dreg to standard.
    """
    everyone = present.repeat(rows // len(present), 1)
    values = {
        name: x.repeat(rows // len(present), *[1] * (x.ndim - 1))
        for name, x in some_values(MODALITIES, len(present)).items()
    }
    batch, actual = batch_of(values, everyone), []
    for gradient in ("standard", "dreg"):
        network = network_of(model(gradient))
        draws = []
        for seed in range(seeds):
            noise = noise_for(network, len(everyone), seed=100 + seed)
            draws.append(gradients_of(network, network(batch, beta, noise=noise)[0]))
        actual.append(torch.stack(draws))
    standard, dreg = actual
    apart = dreg - standard
    spread = apart.std(0)
    moved = spread > 1e-9 * standard.abs().max()
    z = apart.mean(0)[moved] / (spread[moved] / seeds**0.5)
    return z, float(dreg.std(0).norm() / standard.std(0).norm())
