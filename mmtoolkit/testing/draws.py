"""The statistics that compare draws with their log-probabilities, for modalities and likelihoods alike.

Seeds are fixed; with other seeds, a correct distribution would be off by 6 standard errors less than once in ten
million checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.testing.promises import double

ERRORS = 6.0
"""More standard errors than this between a statistic and its expectation are a fault."""
_STEP, _LEAST_ERROR = 1e-5, 1e-6
_OFTEN = 60
_INNER, _KUIPER = 0.95, 3.5


def mean_score(
    call: Callable[[Tensor], Distribution],
    inputs: Tensor,
    groups: Sequence[Sequence[Tensor]],
    generator: torch.Generator,
) -> float:
    """How many standard errors the mean gradient of log p over draws is from zero, at most over groups of parameters.

    Args:
        call: from the inputs to a distribution.
        inputs: (N, ...), float64, one row for each row of draws.
        groups: parameters, or the inputs, of which all of a group move together, a little both ways.
        generator: gives the direction in which they move.
    """
    off = 0.0
    with torch.no_grad():
        x = double(call(inputs).sample())
        for group in groups:
            steps = [_STEP * torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in group]
            ends = []
            for size in (1, -2):
                for parameter, step in zip(group, steps, strict=True):
                    parameter += size * step
                ends.append(call(inputs).log_prob(x).reshape(len(inputs), -1).sum(1))
            for parameter, step in zip(group, steps, strict=True):
                parameter += step
            scores = (ends[0] - ends[1]) / (2 * _STEP)
            error = (scores.std() / math.sqrt(len(inputs))).clamp(min=_LEAST_ERROR)
            off = max(off, float(scores.mean().abs() / error))
    return off


def unlike_chances(chances: Callable[[Tensor], Tensor], x: Tensor, numbers: Tensor | None) -> Iterator[str]:
    """A sentence if draws come more or less often than their probabilities or densities say.

    Args:
        chances: the probabilities or densities (n,) of values (n, ...), float64.
        x: draws (n, ...) of one distribution.
        numbers: (n,), the draws as numbers if each is a single one; None if not.
    """
    n = len(x)
    distinct, counts = x.unique(dim=0, return_counts=True)
    often = counts >= _OFTEN
    remedy = "add the term that log_prob omits, or draw from the distribution that it states"
    if often.any():
        p = chances(distinct)
        expected, count = n * p[often], counts[often].double()
        off = (count - expected).abs() / (expected * (1 - p[often])).clamp(min=1).sqrt()
        if (off > ERRORS).any() or not off.isfinite().all():
            worst = int(off.nan_to_num(torch.inf).argmax())
            yield (
                f"values must come as often as log_prob says, but one came {int(count[worst])} times in {n} draws "
                f"instead of {float(expected[worst]):.0f} times; {remedy}"
            )
        elif p.sum() > 1 + 1e-6 and len(distinct) < n:
            yield (
                f"probabilities must sum to one, but those of the drawn values sum to {float(p.sum()):.3g}; {remedy}"
            )
    elif numbers is not None and len(distinct) == n and numbers.is_floating_point():
        order = numbers.argsort()
        edge = int(n * (1 - _INNER) / 2)
        inner = order[edge : n - edge]
        density = chances(x[inner])
        # Kuiper's statistic: the interval between two draws whose share and whose density's integral differ most.
        share = torch.cumulative_trapezoid(density, numbers[inner])
        over = share - torch.arange(1, len(inner)) / n
        last, first = int(over.argmax()), int(over.argmin())
        if not float(over[last] - over[first]) < _KUIPER / math.sqrt(n) + 1e-3:
            low, high = sorted((first, last))
            yield (
                "values must come as often as log_prob says, but its density expects a share of "
                f"{float(share[high] - share[low]):.3g} from {float(numbers[inner[low + 1]]):.3g} to "
                f"{float(numbers[inner[high + 1]]):.3g}, and a share of {(high - low) / n:.3g} came; {remedy}"
            )
