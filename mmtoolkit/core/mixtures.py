"""Mixtures as posteriors, and draws from each of their parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmtoolkit.core.posterior import Independent, at_least_float32, mean_over_draws

_NUMBERS_AT_ONCE = 2**18  # quickest on a CPU from 5 to 1,023 parts: what is between stays in the cache
_WHOLE = 2.0**53  # shares are counted in units of 1/2^53


@dataclass(frozen=True, eq=False)
class Mixture:
    """The mixture of S Gaussians, or Laplace distributions, for each row. It is a `Posterior`.

    Args:
        parts: (S, B, D). Where its share is 0, a part may hold anything, even NaN: it changes no value or gradient.
        shares: (S, B), the weight of each part: 0 or more, with sum 1 over S.
    """

    parts: Independent
    shares: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", at_least_float32(self.shares))
        object.__setattr__(self, "parts", self.parts.where(self.counts))

    @staticmethod
    def equal(parts: Independent, valid: Tensor) -> Mixture:
        """The mixture in equal shares of the parts (S, B, D) that are valid, (S, B) bool, at least one in each row."""
        return Mixture(parts, valid.to(parts.mean.dtype) / valid.sum(0))

    @staticmethod
    def of_finite(parts: Independent, shares: Tensor) -> Mixture:
        """The same as the class, for parts that are finite even where their share is 0, such as products of experts."""
        mixture = object.__new__(Mixture)
        object.__setattr__(mixture, "parts", parts)
        object.__setattr__(mixture, "shares", at_least_float32(shares))
        return mixture

    @property
    def counts(self) -> Tensor:
        """Which parts a row has: (S, B) bool."""
        return self.shares > 0

    @property
    def mean(self) -> Tensor:
        """(B, D). It may lie where the density is low, between the parts."""
        return (self.shares.unsqueeze(-1) * self.parts.mean).sum(0)

    @property
    def variance(self) -> Tensor:
        """(B, D), within the parts and between their means."""
        spread = self.parts.variance + (self.parts.mean - self.mean).square()
        return (self.shares.unsqueeze(-1) * spread).sum(0)

    @property
    def point(self) -> Tensor:
        """Of the means of the parts, the one where the density of the mixture is highest: (B, D)."""
        densities = torch.where(self.counts, self.log_prob(self.parts.mean), -torch.inf)  # (S, B)
        return self.parts.take(_places(densities.argmax(0), self.shares.shape[1])).mean

    def rsample(self, noise: Tensor) -> Tensor:
        """Draws (..., B, D), each from one part; differentiable in the parts. The shares get no gradient."""
        return self._drawn(noise)[0]

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density at z (..., B, D): (..., B), nats."""
        return self.joint_log_prob(z).logsumexp(-2)

    def joint_log_prob(self, z: Tensor) -> Tensor:
        """Log share_s q_s(z) of each part at z (..., B, D): (..., S, B), nats; minus infinity where its share is 0."""
        # Some parts at a time: all at once would take S times the memory of z, of which an evaluator may have many
        # draws; and one at a time is slow where z is small.
        exporting = torch.compiler.is_exporting()  # a program is for any number of rows
        at_once = len(self.shares) if exporting else max(1, _NUMBERS_AT_ONCE // max(1, z.numel()))
        z = z.unsqueeze(-3)
        starts = range(0, len(self.shares), at_once)
        each = torch.cat([self.parts[i : i + at_once].log_prob(z) for i in starts], dim=-2)  # (..., S, B)
        # Mask before log: the infinite gradient of log 0 would be NaN.
        each = each + torch.where(self.counts, self.shares, 1.0).log()
        return torch.where(self.counts, each, -torch.inf)

    def kl(self, noise: Tensor | None = None) -> Tensor:
        """KL(q || N(0, I)), estimated: (B,), nats.

        It is the mean of the parts' KL divergences, which have a closed form, less how much z says about the part it
        was drawn from, E[log q_part(z) - log q(z)], from 0 to log S. Only this is estimated; with one part it is 0.
        Gradients are unbiased in parts and shares.
        """
        noise = torch.randn_like(self.mean) if noise is None else noise
        z, part = self._drawn(noise)
        joint = self.joint_log_prob(z)
        places = _places(part, self.shares.shape[1])
        log_share = self.shares.flatten().index_select(0, places.flatten()).view(places.shape).log()
        own = joint.gather(-2, part.unsqueeze(-2)).squeeze(-2) - log_share
        about = own - joint.logsumexp(-2)
        if self.shares.requires_grad:
            # The choice of the part has no path to the shares; its score log share, of value 0 here, has.
            about = about + about.detach() * (log_share - log_share.detach())
        return (self.shares * self.parts.kl()).sum(0) - mean_over_draws(about)

    def detached(self) -> Mixture:
        """The same mixture, whose parts and shares get no gradient."""
        return Mixture.of_finite(self.parts.detached(), self.shares.detach())

    def take(self, rows: Tensor) -> Mixture:
        """The mixtures of these rows: from (S, B, D) to (S, N, D), rows (N,)."""
        parts = torch.arange(len(self.shares), device=rows.device).unsqueeze(1)
        places = _places(parts.expand(-1, len(rows)), self.shares.shape[1], rows)
        return Mixture.of_finite(self.parts.take(places), self.shares.index_select(1, rows))

    def strata(self, places: Tensor | None = None) -> Stratum:
        """The posterior of (part, row) pairs, whose draws come from that part: (N, D).

        Average over them by shares: sum_s share_s E_s[f(z)] = E_q[f(z)]. No draw is left to the choice of a part, so
        the average varies less than that over as many draws of the mixture.

        Args:
            places: (N,), the place s · B + b of each pair of part s and row b; by default all S · B of them, also those
                of share 0, whose weight `shares` is 0.
        """
        if places is None:
            return Stratum(self.parts.take(torch.arange(self.shares.numel(), device=self.shares.device)), self)
        return Stratum(self.parts.take(places), self, places)

    def _drawn(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws made of noise, (..., B, D), and the part that each is from: (..., B)."""
        part, noise = choose(self.shares, noise)
        return self.parts.take(_places(part, self.shares.shape[1])).rsample(noise), part


@dataclass(frozen=True, eq=False)
class Stratum:
    """A `Posterior` whose draws come from one part of a mixture, and whose density is that of the whole mixture.

    Args:
        part: of each of N pairs of a part and a row, (N, D).
        whole: the mixture, of S parts and B rows.
        places: (N,), the place s · B + b of each pair; by default all of them, N = S · B.
    """

    part: Independent
    whole: Mixture
    places: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """The mean of the part: (N, D)."""
        return self.part.mean

    @property
    def variance(self) -> Tensor:
        """The variance of the part: (N, D)."""
        return self.part.variance

    @property
    def point(self) -> Tensor:
        """The point of the part: (N, D)."""
        return self.part.point

    def rsample(self, noise: Tensor) -> Tensor:
        """Draws from the part (..., N, D)."""
        return self.part.rsample(noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density of the whole mixture at z (..., N, D): (..., N), nats."""
        return self._joint_log_prob(z).logsumexp(-2)

    def origins(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Which part of the mixture z (..., N, D) may come from.

        Returns:
            The logarithm of the probability of each part given z, (..., S, N), minus infinity where its share is 0; and
            which of the N pairs is of that part and the same row, (S, N), any where its share is 0.
        """
        joint = self._joint_log_prob(z)
        parts, size = self.whole.shares.shape
        pairs = torch.arange(parts * size, device=joint.device)
        if self.places is None:
            return joint.log_softmax(-2), pairs.view(parts, 1, size).expand(-1, parts, -1).reshape(parts, -1)
        of_place = torch.zeros_like(pairs).index_copy(0, self.places, pairs[: len(self.places)]).view(parts, size)
        return joint.log_softmax(-2), of_place.index_select(1, self.places % size)

    def _joint_log_prob(self, z: Tensor) -> Tensor:
        """`Mixture.joint_log_prob` of the row of each pair: (..., S, N)."""
        parts, size = self.whole.shares.shape
        if self.places is None:  # each row has its part of z from each part, so that the mixture need not be copied
            each = self.whole.joint_log_prob(z.unflatten(-2, (parts, size)))  # (..., parts of z, S, B)
            return each.transpose(-3, -2).flatten(-2)
        return self.whole.take(self.places % size).joint_log_prob(z)

    def kl(self, noise: Tensor | None = None) -> Tensor:
        """E_part[log q(z) - log N(z; 0, I)] with the whole mixture q, estimated: (N,), nats.

        The weighted sum over the parts is KL(q || N(0, I)). It is KL(part || N(0, I)), in closed form, less the
        estimate of KL(part || q).
        """
        noise = torch.randn_like(self.mean) if noise is None else noise
        z = self.rsample(noise)
        return self.part.kl() - mean_over_draws(self.part.log_prob(z) - self.log_prob(z))

    def detached(self) -> Stratum:
        """The same, whose part and mixture get no gradient."""
        return Stratum(self.part.detached(), self.whole.detached(), self.places)


def choose(shares: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Choose a part for each draw by the first number of its noise.

    u = Φ(the first number) is uniform over (0, 1). Part s has the stretch of it from the sum of the shares before it to
    that sum with its own. Where u lies in this stretch, from 0 to 1, is uniform too and independent of the choice, so
    Φ⁻¹ of it is standard normal again. Each draw is thus distributed as the whole mixture, and a function of its own
    noise alone. Going through the parts draw after draw would be neither: a single draw would always be from the first
    part, and draws made in several calls, as evaluators make them, would have too many of the first ones.

    Args:
        shares: (S, B), 0 or more with a positive sum over S, which need not be 1.
        noise: (..., B, D) standard normal.

    Returns:
        The part, (..., B), and the noise to draw from it, (..., B, D), standard normal and independent of the part.
        With one part in a row the noise is unchanged. Neither has a gradient in the shares.
    """
    # In whole numbers, sums are exact, and no part of share 0 is ever chosen.
    widths = (shares.detach().double() * _WHOLE).long()
    ends = widths.cumsum(0)  # (S, B)
    total = ends[-1]
    first = noise[..., 0].double()
    u = torch.special.ndtr(first) * total  # (..., B)
    whole = torch.minimum(u.long(), total - 1)  # Φ rounds to 1 far out
    size = len(total)
    part = torch.searchsorted(ends.T.contiguous(), whole.reshape(-1, size).T.contiguous(), right=True)
    part = part.clamp(max=len(shares) - 1).T.reshape(whole.shape)  # where shares are NaN
    places = _places(part, size).flatten()
    width, end = (x.flatten().index_select(0, places).view(whole.shape) for x in (widths, ends))
    tiny = torch.finfo(torch.float64).eps
    rest = torch.special.ndtri(((u - (end - width)) / width).clamp(tiny, 1 - tiny))
    first = torch.where(width == total, first, rest).to(noise.dtype)
    return part, torch.cat([first.unsqueeze(-1), noise[..., 1:]], dim=-1)


def _places(parts: Tensor, size: int, rows: Tensor | None = None) -> Tensor:
    """The places among all S · B (part, row) pairs of parts (..., B), by default each of its own row."""
    return parts * size + (torch.arange(size, device=parts.device) if rows is None else rows)
