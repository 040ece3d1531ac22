"""Networks whose loss is a sum of terms that the model lists."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mmtoolkit.components.dreg import dreg_bound, without_score
from mmtoolkit.components.network import Network
from mmtoolkit.components.prior import Prior
from mmtoolkit.components.terms import Divergence, Step, Terms
from mmtoolkit.components.unit import Unit
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.posterior import Gaussian, Posterior
from mmtoolkit.core.prior import PriorModule

Gradient = Literal["standard", "dreg"]
"""How the bound of several draws reaches the encoders; see `TermsNetwork`."""


class TermsNetwork(Network):
    """Networks with a loss of `Terms`: the model writes `posterior` and `terms`, and this class computes the loss.

    Each unit is encoded once a step, and each decoder runs once over just the (term, row) pairs whose term reconstructs
    its unit.

    With K > 1 draws, the part of each pair is a tighter bound: the logarithm of the mean over K draws of

        exp(reconstruction sum_i λ_i log p(x_i | z) - β sum coefficient (log q(z) - log to(z)))

    (Burda, Grosse & Salakhutdinov 2016; Mattei & Frellsen 2019 with missing values). It covers the annealed divergences
    of the terms' own q; the others are added as they are. The gradient `dreg` (Tucker et al. 2019) replaces the score
    function of q by another path through each draw; it is unbiased too, and the encoders go on learning where K is
    large. See `dreg_bound`.

    Args:
        units: name -> modality or record, in schema order.
        latent_dim: D, the size of z.
        encoders: name of a unit -> encoder with 2 D features. Default: each unit's own.
        decoders: name of a unit -> decoder of z. Default: each unit's own.
        prior: p(z). Default: N(0, I).
        draws: K.
        gradient: of the bound of several draws.
    """

    weights: Tensor
    """λ of each target, float64."""

    def __init__(
        self,
        units: Mapping[str, Unit],
        latent_dim: int,
        encoders: Mapping[str, nn.Module] | None = None,
        decoders: Mapping[str, nn.Module] | None = None,
        prior: Prior | PriorModule | None = None,
        draws: int = 1,
        gradient: Gradient = "standard",
    ) -> None:
        super().__init__(units, latent_dim, encoders, decoders, prior)
        self.draws, self.gradient = draws, gradient
        self._plans: dict[object, object] = {}
        weights = [self.modalities[name].weight for name in self.flat(self.decoders.names)]
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float64), persistent=False)

    # What a model defines.

    @abstractmethod
    def terms(self, step: Step) -> Terms:
        """The terms of a step over B usable rows."""

    def noise_terms(self, subsets: int) -> int:
        """How many terms have noise of their own in a step with this many subsets. Default: 1."""
        return 1

    def draw_subsets(self) -> Tensor:
        """The subsets of units that a step uses, (k, U) bool, from PyTorch's default generator. Default: none."""
        return torch.zeros(0, len(self.units), dtype=torch.bool)

    def divergences(self) -> tuple[str, ...]:
        """The names of the divergences among the parts of the loss. Default: KL."""
        return ("KL",)

    # These follow.

    def forward(
        self,
        batch: Batch,
        beta: float = 1.0,
        subsets: Tensor | None = None,
        noise: Tensor | None = None,
        visible: Batch | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch; see `Network.forward`.

        Args:
            batch: B rows of U units.
            beta: the weight β of the divergences.
            subsets: (k, U) bool; by default the model draws them.
            noise: (terms, B, D) standard normal, or (terms, K, B, D) if K > 1; by default the model draws it.
            visible: the same rows with what z is inferred from. By default `batch`.

        Returns:
            The loss in nats, and its parts: `log p(NAME)` for each target and each divergence, unweighted but for the
            weight of its pair, summed over the terms of a row and averaged over the usable rows.
        """
        visible = batch if visible is None else visible
        if subsets is None:
            subsets = self.draw_subsets()
        if noise is None:
            noise = self._noise(len(subsets), batch.size, batch.device)
        names = [f"log p({name})" for name in self.flat(self.decoders.names)]
        usable = self.usable(batch.present)
        if not usable.any():
            zero = self.blank(batch)
            return zero, dict.fromkeys([*names, *self.divergences()], zero)
        if not usable.all():
            rows = usable.nonzero().squeeze(1)
            whole, batch = batch, batch.take(rows)
            visible = batch if visible is whole else visible.take(rows)
            noise = noise.index_select(-2, sent(rows, noise.device))
        step = Step(self, batch, visible, subsets.cpu(), self._plans)
        terms = self.terms(step)
        noise = noise if self.draws == 1 else noise.movedim(1, 0)
        noise = noise.flatten(-3, -2).index_select(-2, terms.pairs.noise)  # (N, D) or (K, N, D)
        compute = self._of_one_draw if self.draws == 1 else self._of_many_draws
        total, log_probs, divergences = compute(step, terms, beta, noise)
        parts = {**dict(zip(names, log_probs.unbind(), strict=True)), **divergences}
        return -total / batch.size, {name: part.detach() / batch.size for name, part in parts.items()}

    def random_numbers(self, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The arguments `subsets` and `noise` of `forward` for so many rows, as it draws them itself."""
        subsets = self.draw_subsets()
        return subsets, self._noise(len(subsets), rows, device)

    def _noise(self, subsets: int, rows: int, device: torch.device) -> Tensor:
        draws = (self.draws,) if self.draws > 1 else ()
        return torch.randn((self.noise_terms(subsets), *draws, rows, self.latent_dim), device=device)

    def _of_one_draw(
        self, step: Step, terms: Terms, beta: float, noise: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The sum over pairs, that of the log-probability of each target, and that of each divergence."""
        weight, scale = terms.weight, terms.reconstruction
        sums, scaled = [], []
        for targets, log_probs in self._log_probs(step, terms, terms.decoder_input(terms.q.rsample(noise))):
            if weight is not None:
                log_probs = weight.index_select(0, targets).unsqueeze(1) * log_probs
            sums.append(log_probs.sum(0))
            if scale is not None:
                scaled.append((scale.index_select(0, targets).unsqueeze(1) * log_probs).sum(0))
        joined = torch.cat(sums)
        total = (self.weights.to(joined.dtype) * (joined if scale is None else torch.cat(scaled))).sum()
        divergences: dict[str, Tensor] = {}
        for divergence in terms.divergences:
            total = total - self._added(divergence, terms, beta, noise, divergences)
        return total, joined, divergences

    def _of_many_draws(
        self, step: Step, terms: Terms, beta: float, noise: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The same from K draws a pair; log-probabilities and divergences are averages over them."""
        drawn = terms.q.rsample(noise)
        z = drawn.view_as(drawn)  # gradients of the draws and of what is computed from them differ
        pair_weight = z.new_ones(z.shape[1]) if terms.weight is None else terms.weight
        sums, at, scored = [], 0, z.new_zeros(z.shape[:2])
        for targets, log_probs in self._log_probs(step, terms, terms.decoder_input(z)):
            members = log_probs.shape[1]
            weights = self.weights[at : at + members].to(log_probs.dtype)
            at += members
            log_probs = log_probs.view(len(z), -1, members)
            sums.append((pair_weight.index_select(0, targets).unsqueeze(1) * log_probs.mean(0)).sum(0))
            scored = scored.to(log_probs.dtype).index_add(1, targets, (log_probs * weights).sum(-1))
        log_weights = scored if terms.reconstruction is None else terms.reconstruction * scored
        q = without_score(terms.q) if self.gradient == "dreg" else terms.q
        log_q = q.log_prob(z)
        divergences: dict[str, Tensor] = {}
        others = []
        times: Tensor | float = 0.0
        for divergence in terms.divergences:
            if divergence.q is not None or not divergence.annealed:
                others.append(divergence)
                continue
            ratios = divergence.summed(self._ratios(divergence, log_q, z))
            log_weights = log_weights - beta * divergence.coefficient * ratios
            times = times + beta * divergence.coefficient * divergence.times
            _add(divergences, divergence.name, (pair_weight * ratios.mean(0)).sum())
        if self.gradient == "dreg":
            bound = dreg_bound(log_weights, drawn, z, q, times)
        else:
            bound = log_weights.logsumexp(0) - math.log(self.draws)
        total = (pair_weight * bound).sum()
        for divergence in others:
            total = total - self._added(divergence, terms, beta, noise, divergences)
        return total, torch.cat(sums), divergences

    def _added(
        self, divergence: Divergence, terms: Terms, beta: float, noise: Tensor, parts: dict[str, Tensor]
    ) -> Tensor:
        """One divergence with its coefficient, in closed form or from the draws of q, summed; adds it to the parts."""
        q: Posterior = terms.q if divergence.q is None else divergence.q
        weight = terms.weight if divergence.q is None else divergence.weight
        each = divergence.summed(self._kl(q, divergence, noise))
        weighted = each if weight is None else weight * each
        _add(parts, divergence.name, weighted.sum())
        return (beta if divergence.annealed else 1.0) * (divergence.coefficient * weighted).sum()

    def _kl(self, q: Posterior, divergence: Divergence, noise: Tensor) -> Tensor:
        """KL(q || to): (N,) or (E, N)."""
        to = divergence.to
        if divergence.q is not None:  # of other rows: each takes the noise of a pair
            noise = _cycled(noise, len(q.mean))
        if to is None:
            return self.need_prior().kl(q, noise)
        if isinstance(q, Gaussian) and isinstance(to, Gaussian):
            return q.kl_to(to)
        z = q.rsample(noise)
        ratios = self._ratios(divergence, q.log_prob(z), z)
        return ratios if z.ndim == 2 else ratios.mean(0)

    def _ratios(self, divergence: Divergence, log_q: Tensor, z: Tensor) -> Tensor:
        """Log q(z) - log to(z) at z (..., N, D), of which q has the log-density `log_q`: (..., N) or (..., E, N)."""
        to = divergence.to
        if to is None:
            return log_q - self.need_prior().log_prob(z)
        if to.mean.ndim == 2:
            return log_q - to.log_prob(z)
        return log_q.unsqueeze(-2) - to.log_prob(z.unsqueeze(-3))

    def _log_probs(self, step: Step, terms: Terms, z: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """For each decoder, its targets among the pairs (n,), and log p of the unit's modalities (K n, members)."""
        pairs, size = terms.pairs, z.shape[-1]
        # One selection for all units: its gradient is one sum, not a sum of U as large as z.
        every = z.index_select(-2, pairs.targets).split(list(pairs.counts), dim=-2)
        units = zip(self.units, pairs.targets.split(list(pairs.counts)), every, pairs.places, strict=True)
        for unit, targets, drawn, places in units:
            if unit not in self.decoders.names:
                continue
            if not len(targets):
                yield targets, z.new_zeros(0, len(self.members[unit]))
                continue
            drawn = drawn.reshape(-1, size)
            value = self.value(unit, step.batch)
            if places is not None:
                value = value.index_select(0, places)
            if len(drawn) > len(value):
                value = value.repeat(len(drawn) // len(value), *[1] * (value.ndim - 1))
            yield targets, self.unit_log_probs(self.unit_distribution(unit, drawn, step.visible), value)


def _add(parts: dict[str, Tensor], name: str, part: Tensor) -> None:
    parts[name] = parts[name] + part if name in parts else part


def _cycled(noise: Tensor, rows: int) -> Tensor:
    """The noise (..., N, D) of the first rows, and from the start again if there are more: (..., rows, D)."""
    places = torch.arange(rows, device=noise.device)
    return noise if rows == noise.shape[-2] else noise.index_select(-2, places % noise.shape[-2])
