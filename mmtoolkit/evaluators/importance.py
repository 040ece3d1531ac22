"""Importance sampling: estimates of log p(x) by draws of z from an approximate posterior."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Posterior
from mmtoolkit.evaluators.refinement import refine

# Copies of a value that a likelihood makes to compute its log-probability.
_COPIES = 4

# Draws of a row to decode at once, if memory is short. A step of refinement takes about as much for its few draws,
# because it keeps what their gradients need.
_DRAWS = 16

MEMORY = {"cpu": 16 * 2**20, "cuda": 2**30}
"""Kind of device -> bytes to use at once, if nobody says: on a CPU so that it fits the caches."""

FEW = 10
"""A few draws dominate if the effective sample size is below this, or below half of all draws if that is less."""

_FIELDS = ("log_p", "variance", "ess")


@dataclass(frozen=True, eq=False)
class Estimate:
    """The estimates from K importance weights w for each of B rows.

    Attributes:
        log_p: the logarithm of their mean, on average a lower bound on log p: (B,), nats.
        variance: the variance of log w over the draws: (B,), nats²; NaN for one draw.
        ess: the effective sample size (sum w)² / sum w² (Kong 1992), from 1 to K: (B,).
    """

    log_p: Tensor
    variance: Tensor
    ess: Tensor

    @classmethod
    def of(cls, log_weights: Tensor) -> Estimate:
        """The estimate from log-weights (K, B)."""
        total = log_weights.logsumexp(0)
        variance = log_weights.var(0) if len(log_weights) > 1 else torch.full_like(total, torch.nan)
        count = torch.tensor(len(log_weights), dtype=total.dtype, device=total.device)
        return cls(total - count.log(), variance, (2 * total - (2 * log_weights).logsumexp(0)).exp())

    def stderr(self, samples: int) -> Tensor:
        """The standard error of `log_p` over draws, by the delta method: (B,), nats; NaN for one draw.

        It is that of the mean weight, relative to the mean: sqrt((K / ess - 1) / (K - 1)). It is too small if a few
        draws dominate, since the spread of the weights is then not known either.

        Args:
            samples: K.
        """
        if samples == 1:
            return torch.full_like(self.log_p, torch.nan)
        return ((samples / self.ess - 1).clamp(min=0) / (samples - 1)).sqrt()

    @classmethod
    def joined(cls, parts: Sequence[Estimate]) -> Estimate:
        """The estimates of several batches, concatenated."""
        log_p, variance, ess = (torch.cat([getattr(part, name) for part in parts]) for name in _FIELDS)
        return cls(log_p, variance, ess)

    def take(self, rows: Tensor) -> Estimate:
        """The estimates of the rows at places (n,)."""
        return Estimate(self.log_p[rows], self.variance[rows], self.ess[rows])

    def rows(self) -> Iterator[Estimate]:
        """The estimate of each row."""
        for log_p, variance, ess in zip(*(getattr(self, name).split(1) for name in _FIELDS), strict=True):
            yield Estimate(log_p, variance, ess)

    def cpu(self) -> Estimate:
        """The estimate on the host."""
        return Estimate(self.log_p.cpu(), self.variance.cpu(), self.ess.cpu())


@torch.no_grad()
def estimate(
    model: Network,
    batch: Batch,
    proposal: Collection[str] | None,
    targets: Sequence[Collection[str]],
    samples: int,
    generator: torch.Generator,
    memory: int,
    steps: int = 0,
) -> list[Estimate]:
    """Estimate log p of several sets of targets from the same draws of z ~ q(z | proposal), each decoded once.

    The weights are p(x_targets | z) p(z) / q(z | proposal) (Wu & Goodman 2018, equations 5 and 6). A row's missing
    targets are left out, and its proposal uses the modalities that it has. With `steps`, each set of targets has a
    proposal of its own, which `refine` makes of q(z | proposal), and draws of its own.

    Args:
        model: in evaluation mode.
        batch: B rows.
        proposal: modalities to infer z from; the prior if empty; None for all that a row has.
        targets: S sets of modalities that the model decodes.
        samples: K, draws of z a row.
        generator: on the batch's device. The draws depend on `memory`, which sets their chunks.
        memory: bytes to use at once, estimated from the sizes of the layers' outputs.
        steps: of refinement.

    Returns:
        S estimates of B rows, in float64, on the host.
    """
    prior = model.need_prior()

    def infer(rows: Batch) -> Posterior:
        return model.infer_all(rows) if proposal is None else model.infer(rows, proposal)

    def log_ratio(q: Posterior, z: Tensor) -> Tensor:
        return prior.log_prob(z) - q.log_prob(z)

    if not steps:
        return _estimates(model, batch, infer, log_ratio, targets, samples, generator, memory)

    seed = seed_for("refinement", generator.initial_seed())

    def infer_refined(names: Collection[str], rows: Batch) -> Posterior:
        return refine(model, rows, infer(rows), names, steps, seed)

    return [
        refined
        for names in targets
        for refined in _estimates(
            model, batch, partial(infer_refined, names), log_ratio, [names], samples, generator, memory, _DRAWS
        )
    ]


@torch.no_grad()
def estimate_left_out(
    model: Network, batch: Batch, target: str, samples: int, generator: torch.Generator, memory: int
) -> Estimate:
    """Estimate log p(target | all else that a row has) by draws of z ~ q(z | all else).

    It is the logarithm of the mean of p(target | z): the probability by which the model fills the target in. It is
    right as far as q is the model's own posterior. Weights p(z, all else) / q(z | all else) would remove that error,
    but with many columns a few draws would dominate them.

    Args:
        model: in evaluation mode.
        batch: B rows that have the target. If `model.conditions` are not empty, they have all of these too.
        target: a modality that the model decodes and that is no condition.
        samples: K, draws of z a row.
        generator: on the batch's device. The draws depend on `memory`.
        memory: bytes to use at once.
    """
    others = tuple(name for name in model.modalities if name != target)
    given = left_out(model, target)

    def infer(rows: Batch) -> Posterior:
        return model.infer(rows.only(others), given)

    [result] = _estimates(model, batch, infer, None, [[target]], samples, generator, memory)
    return result


def left_out(model: Network, target: str) -> tuple[str, ...]:
    """What z is inferred from if a target is left out: all others, or the model's inputs if it cannot use all others.

    Hide the target first, since it may be among the inputs, of which z is inferred from those that are left.
    """
    others = tuple(name for name in model.modalities if name != target)
    return others if others and model.supports(others) else model.inputs


def _estimates(
    model: Network,
    batch: Batch,
    infer: Callable[[Batch], Posterior],
    log_ratio: Callable[[Posterior, Tensor], Tensor] | None,
    targets: Sequence[Collection[str]],
    samples: int,
    generator: torch.Generator,
    memory: int,
    least_draws: int = 1,
) -> list[Estimate]:
    """The estimates of `targets`, some rows and draws at a time.

    Args:
        model: decodes z.
        batch: B rows.
        infer: gives the proposal of some rows.
        log_ratio: gives the logarithm of the weights of z (K, B, D) besides p(targets | z): (K, B); by default 0.
        targets: S sets of modalities.
        samples: K.
        generator: of the draws.
        memory: bytes to use at once.
        least_draws: of a row, whose memory inferring the proposal takes.
    """
    union = {name for names in targets for name in names}
    weight_bytes = 8 * len(targets) * samples
    a_draw = _bytes_a_draw(model, batch, union) / batch.size
    # Few rows with many draws each: then a whole number of draws nearly fills the memory.
    rows_at_once = max(1, int(memory / max(a_draw * max(least_draws, min(samples, _DRAWS)), weight_bytes)))
    parts: list[list[Estimate]] = [[] for _ in targets]
    for rows in batch.split(rows_at_once):
        draws_at_once = max(1, int(memory / max(a_draw * rows.size, 1)))
        log_weights = _log_weights(model, rows, infer(rows), log_ratio, targets, samples, generator, draws_at_once)
        for part, of_targets in zip(parts, log_weights, strict=True):
            part.append(Estimate.of(of_targets))
    return [Estimate.joined(part).cpu() for part in parts]


def _log_weights(
    model: Network,
    batch: Batch,
    q: Posterior,
    log_ratio: Callable[[Posterior, Tensor], Tensor] | None,
    targets: Sequence[Collection[str]],
    samples: int,
    generator: torch.Generator,
    at_once: int,
) -> Tensor:
    """Log-weights, in float64: (S, K, B)."""
    mean = q.mean
    union = {name for names in targets for name in names}
    log_weights = torch.zeros(len(targets), samples, batch.size, dtype=torch.float64, device=batch.device)
    for start in range(0, samples, at_once):
        chunk = slice(start, min(start + at_once, samples))
        shape = (chunk.stop - start, *mean.shape)
        z = q.rsample(torch.randn(shape, generator=generator, dtype=mean.dtype, device=batch.device))
        if log_ratio is not None:
            log_weights[:, chunk] = log_ratio(q, z)
        log_probs = model.log_prob(z.flatten(0, 1), batch, union)
        for place, names in enumerate(targets):
            for name in names:
                if name in log_probs:
                    log_weights[place, chunk] += log_probs[name].view(shape[:2])
    return log_weights


def _bytes_a_draw(model: Network, batch: Batch, targets: Collection[str]) -> int:
    """A bound on the bytes to decode and score one draw for every row: all layers' outputs, measured on one row."""
    size = 0

    def count(module: nn.Module, args: object, output: object) -> None:
        nonlocal size
        size += sum(x.nbytes for x in (output if isinstance(output, tuple) else (output,)) if isinstance(x, Tensor))

    z = model.blank(batch, 1, model.latent_dim)
    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    handles = [module.register_forward_hook(count) for module in leaves]
    try:
        if model.prior is not None:
            model.prior.log_prob(z)
        total = size * batch.size
        for name in targets:
            if len(rows := batch.rows(name)):
                row = batch.take(rows[:1])
                size = _COPIES * row.value(name).nbytes
                model.log_prob(z, row, [name])
                total += size * len(rows)
    finally:
        for handle in handles:
            handle.remove()
    return total
