"""Losses of models by a slow loop over rows, terms and draws, from terms that a test writes as the paper does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import settings
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from mmtoolkit.components import Modality, Model, Network
from mmtoolkit.training.networks import build
from toys import EXAMPLES, Category, Vector, batch_of, randn, some_values

B, D = 5, 3
FEW = settings(EXAMPLES, max_examples=12)
TOYS: dict[str, Modality] = {
    "a": Vector(size=2, weight=3.0),
    "b": Category(classes=3, weight=10.0),
    "c": Vector(size=3, weight=0.5),
}
# A row with everything, two that lack one, one with one alone, and one with nothing.
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 1, 0], [0, 0, 0]]) > 0
# What encoders may see of it.
SEEN = torch.tensor([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]]) > 0
PRIOR = Normal(torch.zeros(D).double(), 1.0)
Experts = Mapping[str, Normal]


@dataclass
class Term:
    """A term of one row as its paper writes it.

    Attributes:
        q: what z is drawn from.
        log_q: the log-density of the mixture of which q is a part.
        kl: the estimate at z of the divergence of that mixture from N(0, I), where one draw is made.
        noise: whose place among the terms.
        scale, weight: of its reconstruction, and of all of it.
        targets: what it reconstructs of what the row has; by default all.
        divergences: the name of a part of the loss, its coefficient, and the Gaussian that q should be near.
    """

    q: Normal
    noise: int = 0
    scale: float = 1.0
    weight: Any = 1.0
    targets: Sequence[str] | None = None
    divergences: Sequence[tuple[str, float, Normal]] = (("KL", 1.0, PRIOR),)
    log_q: Callable[[Tensor], Tensor] | None = None
    kl: Callable[[Tensor], Tensor] | None = None


RowTerms = Callable[[Network, Experts, Tensor], Sequence[Term]]
"""The terms of a row: from the network, the experts of what it shows, and its noise (terms, D) or (terms, K, D)."""


def network_of(model: Model, modalities: Mapping[str, Modality] = TOYS, seed: int = 0) -> Network:
    return build(model, modalities, seed).double()


def log_density(q: Normal, z: Tensor) -> Tensor:
    density: Tensor = q.log_prob(z).sum(-1)
    return density


def explicit_loss(
    network: Network,
    row_terms: RowTerms,
    values: Mapping[str, Tensor],
    present: Tensor,
    seen: Tensor,
    noise: Tensor,
    beta: float,
    estimated: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and its parts, a row, a term, a draw and a modality at a time.

    Args:
        present, seen: (B, M) bool.
        noise: (terms, B, D) or (terms, K, B, D).
        estimated: whether the divergence from the prior is that of the network's own, at the draw; by default it is
            that of N(0, I), in closed form.
    """
    total, rows = torch.zeros(()).double(), 0
    parts: dict[str, Any] = {}
    for row in range(len(present)):
        has = [name for name, there in zip(values, present[row].tolist(), strict=True) if there]
        shows = [name for name, there in zip(values, seen[row].tolist(), strict=True) if there]
        if not has:
            continue
        rows += 1
        experts = {}
        for name in shows:
            mean, logvar = network.encoders.of(name)(values[name][row : row + 1])[0].chunk(2)
            experts[name] = Normal(mean, (logvar / 2).exp())
        for term in row_terms(network, experts, noise[..., row, :]):
            draws = noise[term.noise, ..., row, :].reshape(-1, D)
            log_weights = []
            for epsilon in draws:
                z = term.q.mean + term.q.stddev * epsilon
                log_weight = torch.zeros(()).double()
                for name in has if term.targets is None else [n for n in term.targets if n in has]:
                    p = network.decoders.of(name)(z.unsqueeze(0)).log_prob(values[name][row : row + 1])[0]
                    part = f"log p({name})"
                    parts[part] = parts.get(part, 0.0) + term.weight * p / len(draws)
                    log_weight = log_weight + term.scale * network.modalities[name].weight * p
                for part, coefficient, to in term.divergences:
                    log_q = log_density(term.q, z) if term.log_q is None else term.log_q(z)
                    from_prior = estimated and to is PRIOR
                    apart = log_q - (network.need_prior().log_prob(z) if from_prior else log_density(to, z))
                    if len(draws) == 1 and not from_prior:
                        apart = kl_divergence(term.q, to).sum() if term.kl is None else term.kl(z)
                    parts[part] = parts.get(part, 0.0) + term.weight * apart / len(draws)
                    log_weight = log_weight - beta * coefficient * apart
                log_weights.append(log_weight)
            bound = torch.stack(log_weights).logsumexp(0) - math.log(len(draws))
            total = total - term.weight * bound
    rows = max(rows, 1)
    return total / rows, {name: torch.as_tensor(part).detach() / rows for name, part in parts.items()}


def gradients(network: Network, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss.backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def check_loss(
    model: Model,
    row_terms: RowTerms,
    present: Tensor = PRESENT,
    seen: Tensor | None = None,
    beta: float = 0.7,
    estimated: bool = False,
) -> None:
    """Check loss, parts and gradients of a step against the explicit loop, with what `seen` shows of the rows."""
    network: Any = network_of(model)
    values = some_values(TOYS, B)
    draws = getattr(model, "draws", 1)
    noise = randn(network.noise_terms(0), *((draws,) if draws > 1 else ()), B, D, seed=4)
    perturb(network)
    batch = batch_of(values, present)
    visible = None if seen is None else batch_of(values, seen)
    loss, parts = network(batch, beta, None, noise, visible)
    expected, expected_parts = explicit_loss(
        network, row_terms, values, present, present if seen is None else seen, noise, beta, estimated
    )
    assert_close(loss, expected)
    assert all(not part.requires_grad for part in parts.values())
    for name, part in parts.items():
        assert_close(part, expected_parts.get(name, torch.zeros(()).double()))
    assert expected_parts.keys() <= parts.keys()
    if loss.requires_grad and present.any():
        fast, slow = gradients(network, loss), gradients(network, expected)
        for name in slow:
            assert_close(fast[name], slow[name])
        assert all(not gradient.any() for name, gradient in fast.items() if name not in slow)


def perturb(network: Network) -> None:
    """Move all parameters a little, also those that begin at equal values."""
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype))


def hidden(present: Tensor, mask: Tensor) -> Tensor:
    """What is present and not hidden; rows that would show nothing show all."""
    seen = present & ~mask
    return torch.where(seen.any(1, keepdim=True), seen, present)


def kl_from_prior(q: Normal) -> Tensor:
    return kl_divergence(q, PRIOR).sum()


# Pools, as their papers write them.


def product(experts: Sequence[Normal], weights: Sequence[Any] | None = None) -> Normal:
    """The (weighted) product of experts without the prior."""
    powers = [1.0] * len(experts) if weights is None else weights
    precision = sum(w / q.variance for q, w in zip(experts, powers, strict=True))
    weighted = sum(w * q.mean / q.variance for q, w in zip(experts, powers, strict=True))
    return Normal(weighted / precision, precision**-0.5)


def barycentre(experts: Sequence[Normal]) -> Normal:
    return Normal(sum(q.mean for q in experts) / len(experts), sum(q.stddev for q in experts) / len(experts))


def geometric_mean(one: Normal, other: Normal) -> tuple[Tensor, Normal]:
    """S and N of √(q_i q_j) = S N: N by its precision, and log S by the densities at one point."""
    pair = product([one, other], [0.5, 0.5])
    point = torch.full_like(pair.mean, 0.3)
    log_s = 0.5 * (log_density(one, point) + log_density(other, point)) - log_density(pair, point)
    return log_s.exp(), pair


def hoelder_parts(experts: Sequence[Normal]) -> list[tuple[Tensor, Normal]]:
    """The shares and Gaussians of (sum √q)², the square written out: the experts, then the pairs."""
    one = torch.ones(()).double()
    parts = [(one, q) for q in experts]
    for i, j in itertools.combinations(range(len(experts)), 2):
        s, pair = geometric_mean(experts[i], experts[j])
        parts.append((2 * s, pair))
    total = sum(share for share, _ in parts)
    return [(share / total, q) for share, q in parts]
