"""Statistical checks that a modality's decoder draws values as often as its log_prob says.

Each check compares a statistic with its expectation, in standard errors. For a single number, the checks find draws
that are shifted by a tenth of their standard deviation, or whose standard deviation is wrong by a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.components import NumberModality
from mmtoolkit.testing.draws import ERRORS, mean_score, unlike_chances
from mmtoolkit.testing.promises import double, networks_of
from mmtoolkit.testing.subjects import SIZE, Subject

_FEWEST_ROWS, _MOST_ROWS, _NUMBERS, _SMALL = 100, 10_000, 10_000, 64
_DRAWS, _AT_ONCE = 20_000, 500_000


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
    off = mean_score(decoder, z, groups, generator)
    if not off <= ERRORS:
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
            chances = partial(_probabilities, decoder, z)
            yield from (f"decoder(size): {fault}" for fault in unlike_chances(chances, values, numbers))


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


def _probabilities(decoder: nn.Module, z: Tensor, x: Tensor) -> Tensor:
    """Probabilities or densities of values (n, *event), each given z (1, D), in float64."""
    parts = [
        decoder(z.expand(len(rows), -1)).log_prob(rows).double()
        for rows in x.split(max(500, _AT_ONCE // 100 // max(1, math.prod(x.shape[1:]))))
    ]
    return torch.cat(parts).exp()


CHECKS = (draws_follow_the_score, draws_have_their_probabilities)
