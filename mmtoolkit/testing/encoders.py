"""Checks of encoders, of a modality or of a record: features, rows and gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mmtoolkit.testing.promises import close, finite, gradient_faults, networks_of, shape
from mmtoolkit.testing.subjects import EXTRA, WIDTH, Networked


def _condition(subject: Networked) -> Tensor:
    return torch.randn(len(subject.x), EXTRA, generator=torch.Generator().manual_seed(2))


def _encoders(subject: Networked) -> Iterator[tuple[str, nn.Module, tuple[Tensor, ...]]]:
    """The calls that return encoders, the modules that they return, and the inputs of these."""
    x, c = subject.x, _condition(subject)
    yield "encoder(width)", subject.encoder(), (x,)
    yield f"encoder(width, extra={EXTRA})", subject.encoder(EXTRA), (x, c)
    yield "branch(width)", networks_of(lambda: subject.unit.branch(WIDTH)), (x,)


def encoders_return_features(subject: Networked) -> Iterator[str]:
    """`encoder` and `branch` return finite features (N, width)."""
    expected = (len(subject.x), WIDTH)
    for where, network, inputs in _encoders(subject):
        with torch.no_grad():
            features = network(*inputs)
        if tuple(features.shape) != expected:
            yield f"{where}: must return (N, width), {expected}, but got {shape(features)}; correct the last layer"
        elif not finite(features):
            yield f"{where}: must return finite features, but got NaN or infinity; scale its input"


def encoders_read_rows(subject: Networked) -> Iterator[str]:
    """`encoder` and `branch` read each row on its own, one row or many, and all their parameters learn."""
    for where, network, inputs in _encoders(subject):
        with torch.no_grad():
            features = network(*inputs)
            if not close(network(*(rows[:1] for rows in inputs)), features[:1]):
                yield (
                    f"{where}: must read each row on its own in evaluation mode, but a row alone gave another "
                    "result; use no other rows"
                )
            if not close(network(*(rows.flip(0) for rows in inputs)), features.flip(0)):
                yield f"{where}: must return features in the order of its rows, but did not; read each row on its own"
        yield from gradient_faults(where, network, partial(_projected, inputs))
        network.train()(*(rows[:1] for rows in inputs))
    x, c = subject.x, _condition(subject)
    with torch.no_grad():
        network = subject.encoder(EXTRA)
        if torch.equal(network(x, c), network(x, c + 1)):
            yield (
                f"encoder(width, extra={EXTRA}): must read the condition (N, extra), but it changed nothing; "
                "concatenate it to the features"
            )


def _projected(inputs: Sequence[Tensor], network: nn.Module) -> Tensor:
    features: Tensor = network(*inputs)
    return (features * torch.randn(features.shape)).sum()


def conditions_have_their_size(subject: Networked) -> Iterator[str]:
    """`condition` returns (N, condition_size) finite numbers."""
    condition = subject.unit.condition(subject.x)
    expected = (len(subject.x), subject.unit.condition_size)
    if tuple(condition.shape) != expected or not condition.is_floating_point() or not finite(condition):
        yield (
            f"condition: must return (N, condition_size) finite floats, {expected}, but got {condition.dtype} "
            f"{shape(condition)}, or numbers that are not finite; make condition and condition_size agree"
        )


REQUIRED = (encoders_return_features,)
CHECKS = (encoders_return_features, encoders_read_rows, conditions_have_their_size)
