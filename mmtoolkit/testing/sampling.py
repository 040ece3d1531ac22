"""Statistical checks that a likelihood draws values as often as its log_prob says.

Each check compares a statistic with its expectation, in standard errors. Seeds are fixed; with other seeds, a correct
likelihood would be off by 6 standard errors less than once in ten million checks. For a single number, the checks find
draws that are shifted by a tenth of their standard deviation, or whose standard deviation is wrong by a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.components import NumberModality
from mmtoolkit.testing.promises import double, networks_of
from mmtoolkit.testing.subjects import SIZE, Subject

_ERRORS = 6.0
_FEWEST_ROWS, _MOST_ROWS, _NUMBERS = 100, 10_000, 10_000
_STEP, _LEAST_ERROR, _SMALL = 1e-5, 1e-6, 64
_DRAWS, _OFTEN, _AT_ONCE = 20_000, 60, 500_000
_INNER, _KUIPER = 0.95, 3.5


def draws_follow_the_score(subject: Subject) -> Iterator[str]:
    """The gradient of log p(x) is zero on average over draws x from p.

    E[d log p(x; a) / da] = 0 for every parameter a of a distribution, discrete or not, of any dimension. It fails if
    samples come from another distribution than log_prob states, or if log_prob omits a term that depends on a. Here a
    is z, all the decoder's parameters together, and each small one, such as a scale, alone; each moves a little both
    ways.
    """
    decoder = networks_of(lambda: subject.modality.decoder(SIZE)).double()
    rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _NUMBERS // max(1, math.prod(subject.event))))
    generator = torch.Generator().manual_seed(11)
    z = torch.randn(rows, SIZE, generator=generator, dtype=torch.float64)
    parameters = list(decoder.parameters())
    small: list[list[Tensor]] = [[parameter] for parameter in parameters if parameter.numel() <= _SMALL]
    groups: list[list[Tensor]] = [[z], [*parameters], *small]
    off = 0.0
    with torch.no_grad():
        x = double(decoder(z).sample())
        for group in groups:
            steps = [_STEP * torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in group]
            ends = []
            for size in (1, -2):
                for parameter, step in zip(group, steps, strict=True):
                    parameter += size * step
                ends.append(decoder(z).log_prob(x))
            for parameter, step in zip(group, steps, strict=True):
                parameter += step
            scores = (ends[0] - ends[1]) / (2 * _STEP)
            error = (scores.std() / math.sqrt(rows)).clamp(min=_LEAST_ERROR)
            off = max(off, float(scores.mean().abs() / error))
    if not off <= _ERRORS:
        yield (
            "decoder(size): sample must draw from the distribution of log_prob, but the mean gradient of log_prob over "
            f"samples is {off:.0f} standard errors from 0; make the two agree"
        )


def draws_have_their_probabilities(subject: Subject) -> Iterator[str]:
    """Values come as often as log_prob says: repeated ones, and single numbers between quantiles."""
    decoder = networks_of(lambda: subject.modality.decoder(SIZE)).double()
    z = torch.randn(1, SIZE, generator=torch.Generator().manual_seed(13), dtype=torch.float64)
    draws = max(200, min(_DRAWS, _AT_ONCE // max(1, math.prod(subject.event))))
    with torch.no_grad():
        p: Distribution = decoder(z)
        x = double(p.sample(torch.Size([draws])).squeeze(1))
        for values, numbers in _marginals(subject, x):
            yield from _as_often(decoder, z, values, numbers)


def _marginals(subject: Subject, x: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The draws, and their numbers if a draw is a single one; for a vector with holes, each of its numbers alone."""
    modality = subject.modality
    if isinstance(modality, NumberModality) and not modality.single:
        for place in range(modality.size):
            alone = torch.zeros_like(x)
            alone[:, :, place] = x[:, :, place]
            yield alone, x[:, 0, place]
    else:
        yield x, x if x.ndim == 1 else None


def _as_often(decoder: nn.Module, z: Tensor, x: Tensor, numbers: Tensor | None) -> Iterator[str]:
    n = len(x)
    distinct, counts = x.unique(dim=0, return_counts=True)
    often = counts >= _OFTEN
    remedy = "add the term that log_prob omits, or draw from the distribution that it states"
    if often.any():
        p = _probabilities(decoder, z, distinct)
        expected, count = n * p[often], counts[often].double()
        off = (count - expected).abs() / (expected * (1 - p[often])).clamp(min=1).sqrt()
        if (off > _ERRORS).any() or not off.isfinite().all():
            worst = int(off.nan_to_num(torch.inf).argmax())
            yield (
                f"decoder(size): values must come as often as log_prob says, but one came {int(count[worst])} times in "
                f"{n} draws instead of {float(expected[worst]):.0f} times; {remedy}"
            )
        elif p.sum() > 1 + 1e-6 and len(distinct) < n:
            yield (
                f"decoder(size): probabilities must sum to one, but those of the drawn values sum to "
                f"{float(p.sum()):.3g}; "
                f"{remedy}"
            )
    elif numbers is not None and len(distinct) == n and numbers.is_floating_point():
        order = numbers.argsort()
        edge = int(n * (1 - _INNER) / 2)
        inner = order[edge : n - edge]
        density = _probabilities(decoder, z, x[inner])
        # Kuiper's statistic: the interval between two draws whose share and whose density's integral differ most.
        share = torch.cumulative_trapezoid(density, numbers[inner])
        over = share - torch.arange(1, len(inner)) / n
        last, first = int(over.argmax()), int(over.argmin())
        if not float(over[last] - over[first]) < _KUIPER / math.sqrt(n) + 1e-3:
            low, high = sorted((first, last))
            yield (
                "decoder(size): values must come as often as log_prob says, but its density expects a share of "
                f"{float(share[high] - share[low]):.3g} from {float(numbers[inner[low + 1]]):.3g} to "
                f"{float(numbers[inner[high + 1]]):.3g}, and a share of {(high - low) / n:.3g} came; {remedy}"
            )


def _probabilities(decoder: nn.Module, z: Tensor, x: Tensor) -> Tensor:
    """Probabilities or densities of values (n, *event), each given z (1, D), in float64."""
    parts = [
        decoder(z.expand(len(rows), -1)).log_prob(rows).double()
        for rows in x.split(max(500, _AT_ONCE // 100 // max(1, math.prod(x.shape[1:]))))
    ]
    return torch.cat(parts).exp()


CHECKS = (draws_follow_the_score, draws_have_their_probabilities)
