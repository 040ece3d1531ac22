"""Checks of a modality's decoders and of the likelihoods that they return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.core.posterior import at_least_float32
from mmtoolkit.testing.promises import close, double, finite, gradient_faults, networks_of, shape
from mmtoolkit.testing.subjects import SIZE, Subject

_EXTREME = (30.0, 1e4)


def _decoders(subject: Subject) -> Iterator[tuple[str, nn.Module]]:
    """The calls that return decoders, and the modules that they return."""
    yield "decoder(size)", subject.decoder()
    if subject.modality.head(SIZE) is not None:
        yield "head(size)", networks_of(lambda: subject.modality.head(SIZE) or nn.Identity())


def decoders_return_distributions(subject: Subject) -> Iterator[str]:
    """`decoder`, and `head` if there is one, return distributions (N,) of values (*event), log_prob one a row."""
    for where, network in _decoders(subject):
        for rows in (len(subject.x), 1):
            if faults := list(_distribution(where, subject, network, rows)):
                yield from faults
                break


def _distribution(where: str, subject: Subject, network: nn.Module, rows: int) -> Iterator[str]:
    event, x = subject.event, subject.x[:rows]
    p = network(subject.z[:rows])
    if not isinstance(p, Distribution) or tuple(p.batch_shape) != (rows,) or tuple(p.event_shape) != event:
        actual = (
            f"{tuple(p.batch_shape)} and {tuple(p.event_shape)}" if isinstance(p, Distribution) else type(p).__name__
        )
        yield (
            f"{where}: must return a Distribution with batch ({rows},) and event {event}, but got {actual}; wrap it in "
            "Independent, or correct event_shape"
        )
        return
    log_prob = p.log_prob(x)
    if tuple(log_prob.shape) != (rows,):
        yield f"{where}: log_prob must be one number a row, ({rows},), but got {shape(log_prob)}; sum it over the event"
        return
    if not finite(log_prob):
        yield (
            f"{where}: log_prob must be finite for every value that a cell holds, but got NaN or infinity; bound the "
            "parameters"
        )
        return  # before a draw: rejection sampling with NaN parameters would never end
    for name, value in (("sample", p.sample()), ("point", subject.modality.point(p))):
        if tuple(value.shape) != (rows, *event) or not finite(value):
            yield (
                f"{where}: {name} must return finite values (N, *event), {(rows, *event)}, but got {shape(value)}, or "
                "values that are not finite; correct it"
            )


def decoders_learn(subject: Subject) -> Iterator[str]:
    """`decoder` and `head` treat each row on its own, draw many samples at once, and all their parameters learn."""
    x, z, event = subject.x, subject.z, subject.event
    for where, network in _decoders(subject):
        with torch.no_grad():
            whole = network(z).log_prob(x)
            if not close(network(z.flip(0)).log_prob(x.flip(0)), whole.flip(0)):
                yield (
                    f"{where}: must return log-probabilities in the order of its rows, but did not; decode each row on "
                    "its own"
                )
            draws = network(z).sample((3,))
            if tuple(draws.shape) != (3, len(x), *event):
                yield (
                    f"{where}: sample((3,)) must return (3, N, *event), {(3, len(x), *event)}, but got {shape(draws)}; "
                    "use sample_shape"
                )
            network(torch.full_like(z, torch.nan))  # must not raise: training reports NaN once it has the loss
        yield from gradient_faults(where, network, _weighted(x, z))
        network.train()(z[:1]).log_prob(x[:1]).sum().backward()
        linear = sum(isinstance(module, nn.Linear) for module in network.modules())
        if where.startswith("head") and linear > 1:
            yield (
                "head(size): must be a single linear layer, but has more; remove the others, as the supervised "
                "baseline is linear"
            )


def _weighted(x: Tensor, z: Tensor) -> Callable[[nn.Module], Tensor]:
    def loss(network: nn.Module) -> Tensor:
        log_prob: Tensor = network(z).log_prob(x)
        return (log_prob * torch.rand(len(x))).sum()

    return loss


def likelihoods_stay_finite(subject: Subject) -> Iterator[str]:
    """Log-probabilities, their gradients and points are finite even for large z."""
    decoder = subject.decoder()
    for scale in _EXTREME:
        z = (scale * subject.z).requires_grad_()
        p = decoder(z)
        log_prob = p.log_prob(subject.x)
        decoder.zero_grad()
        log_prob.sum().backward()
        assert z.grad is not None
        parts = {
            "log_prob": finite(log_prob),
            "the gradient of log_prob": finite(z.grad)
            and all(finite(q.grad) for q in decoder.parameters() if q.grad is not None),
            "point": finite(subject.modality.point(p)),
        }
        if broken := [part for part, is_finite in parts.items() if not is_finite]:
            yield (
                f"decoder(size): must stay finite for every z, but {' and '.join(broken)} did not for z of size "
                f"{scale:g}; bound the parameters, for example by softplus instead of exp"
            )


def precision_is_high(subject: Subject) -> Iterator[str]:
    """Log-probabilities are in float32 under autocast, and in float64 and accurate if the networks are in float64."""
    x, z = subject.x, subject.z
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        subject.encoder()(x)
        log_prob = subject.decoder()(z).log_prob(x)
    if at_least_float32(log_prob).dtype != log_prob.dtype or not finite(log_prob):
        yield (
            f"decoder(size): must compute densities in float32 or better, but got {log_prob.dtype} under autocast, or "
            "numbers that are not finite; use mmtoolkit.at_least_float32"
        )
    decoder, plain = subject.decoder().double(), subject.decoder()
    z, x = z.double(), double(x)
    features = subject.encoder().double()(x)
    if features.dtype != torch.float64:
        yield (
            f"encoder(width): must return float64 if its weights are in float64, but got {features.dtype}; do not cast "
            "to float32"
        )
    towards = torch.randn(z.shape, generator=torch.Generator().manual_seed(5), dtype=z.dtype)
    with torch.no_grad():
        ahead, behind = (decoder(z + step * towards).log_prob(x) for step in (1e-5, -1e-5))
        if not close(decoder(z).log_prob(x), plain(z.float()).log_prob(subject.x), 1e-3):
            yield (
                "decoder(size): log_prob must be the same in float64 as in float32, but differs; do not depend on the "
                "type"
            )
    z.requires_grad_()
    log_prob = decoder(z).log_prob(x)
    (slope,) = torch.autograd.grad(log_prob.sum(), z)
    exact, measured = (slope * towards).sum(1), (ahead - behind) / 2e-5
    right = (exact - measured).abs() <= 1e-4 * (1 + exact.abs())
    if log_prob.dtype != torch.float64 or right.double().mean() < 0.7:  # a few rows may lie at a kink
        yield (
            "decoder(size): the gradient of log_prob in float64 must equal finite differences, but does not; do not "
            "cast to float32, and do not round or detach anything that depends on z"
        )


def averages_are_of_draws(subject: Subject) -> Iterator[str]:
    """`average` joins draw-major draws row by row; metrics accept the result and state their direction."""
    modality, z, x = subject.modality, subject.z, subject.x
    decoder, rows = subject.decoder(), len(subject.z)
    with torch.no_grad():
        two = modality.average(decoder(torch.cat([z, -z])), 2)
        first = modality.average(decoder(torch.stack([z[0], -z[0]])), 2)
        once, thrice = modality.average(decoder(z), 1), modality.average(decoder(z.repeat(3, 1)), 3)
        orders = [
            modality.average(decoder(torch.cat([-z if n == place else z for n in range(3)])), 3) for place in range(3)
        ]
    if any(len(part) != rows for part in _parts(two)):
        yield (
            f"average: must return one entry a row, ({rows}, ...), but got {' and '.join(map(shape, _parts(two)))}; "
            "reduce over draws"
        )
    elif not all(close(part[:1], alone) for part, alone in zip(_parts(two), _parts(first), strict=True)):
        yield (
            "average: must assign row j of p to row j mod N, but mixed the rows; unflatten(0, (draws, -1)) and reduce "
            "the first dimension"
        )
    elif not all(close(a, b) for other in orders[1:] for a, b in zip(_parts(orders[0]), _parts(other), strict=True)):
        yield "average: must not depend on the order of the draws, but does; treat all draws alike"
    elif not all(close(a, b) for a, b in zip(_parts(once), _parts(thrice), strict=True)):
        yield "average: of equal draws must equal that of one draw, but differs; take the mean over draws"
    with torch.no_grad():
        p, alone = decoder(z.repeat(3, 1)), decoder(z)
    pooled, point = modality.pooled(p, 3), modality.point(alone)
    if not close(pooled, point):
        yield (
            f"pooled: of equal draws must equal the point of one draw, {shape(point)}, but got {shape(pooled)}, or "
            "other values; join the draws of each row"
        )
    for column, spread in modality.spread("it", p, 3).items():
        if column not in modality.source_columns("it") or any(value.shape != (rows,) for value in spread.values()):
            yield (
                f"spread: must return numbers ({rows},) for source columns, but got {column!r} with "
                f"{[shape(value) for value in spread.values()]}; name source columns, and reduce over draws"
            )
    for name, metric in modality.metrics().items():
        if metric.higher_is_better is None:
            yield (
                f"metrics: must say whether high or low is better, but higher_is_better of {name} is None; set it to "
                "True or False in its class"
            )
        metric.update(two, x)
        value = metric.compute()
        if value.numel() != 1 or not finite(value):
            yield f"metrics: {name} must compute one finite number, but got {value}; reduce it"


def _parts(average: Any) -> tuple[Tensor, ...]:
    return average if isinstance(average, tuple) else (average,)


REQUIRED = (decoders_return_distributions,)
CHECKS = (
    decoders_return_distributions,
    decoders_learn,
    likelihoods_stay_finite,
    precision_is_high,
    averages_are_of_draws,
)
