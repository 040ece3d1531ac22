"""Checks of what holds for encoders and decoders alike: saved weights, unknown entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mmtoolkit.components import NumberModality
from mmtoolkit.testing.promises import double, networks_of, read_back
from mmtoolkit.testing.subjects import SIZE, WIDTH, Networked, Subject


def saved_weights_can_be_loaded(subject: Networked) -> Iterator[str]:
    """Networks built from saved options load saved weights and return the same results."""
    unit = read_back(subject.unit)
    pairs: list[tuple[str, nn.Module, nn.Module, Callable[[nn.Module], Tensor]]] = [
        (
            "encoder(width)",
            subject.encoder(),
            networks_of(lambda: unit.encoder(WIDTH), seed=1),
            lambda network: network(subject.x),
        ),
        (
            "decoder(size)",
            subject.decoder(),
            networks_of(lambda: unit.decoder(SIZE), seed=1),
            lambda network: network(subject.z).log_prob(subject.x),
        ),
    ]
    for where, saved, new, result in pairs:
        state = saved.state_dict()
        if strange := [name for name, value in state.items() if not isinstance(value, Tensor)]:
            yield (
                f"{where}: state_dict must hold only tensors, as nothing else is saved, but {strange[0]} is none; make "
                "it an option or a buffer"
            )
            continue
        new.load_state_dict(state)
        with torch.no_grad():
            if not torch.equal(result(saved), result(new)):
                yield (
                    f"{where}: must return the same result after its weights are loaded, but does not; register its "
                    "other state as buffers, or make it options that fit fills"
                )


def unknown_entries_do_not_matter(subject: Subject) -> Iterator[str]:
    """The value in an unknown entry changes no feature, likelihood or gradient."""
    modality = subject.modality
    if not isinstance(modality, NumberModality) or modality.single:
        return
    x = double(subject.x).to(torch.float32).clone()
    known = x[:, 1] > 0.5
    fewer = known & (torch.rand(known.shape) < 0.5)
    known = torch.where(fewer.any(1, keepdim=True), fewer, known)
    x[:, 0], x[:, 1] = torch.where(known, x[:, 0], 0.0), known.to(x)
    yield from unknown_faults(subject, x, (torch.nan, torch.inf, -1e30, 1.0))


def unknown_faults(subject: Networked, x: Tensor, fillers: Sequence[float]) -> Iterator[str]:
    """A sentence for each network that a value in an unknown entry of x (N, 2, K) changes."""
    calls: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor, nn.Module], Tensor]]] = {
        "encoder(width)": (subject.encoder, lambda values, network: network(values)),
        "decoder(size)": (subject.decoder, lambda values, network: network(subject.z).log_prob(values)),
    }
    for where, (make, out) in calls.items():
        clean = _results(make(), partial(out, x))
        for filler in fillers:
            y = x.clone()
            y[:, 0] = torch.where(x[:, 1] > 0.5, x[:, 0], filler)
            if not all(map(torch.equal, clean, _results(make(), partial(out, y)))):
                yield (
                    f"{where}: the value in an unknown entry must change nothing, but {filler} did; read values with "
                    "split_entries"
                )
                break


def _results(network: nn.Module, out: Callable[[nn.Module], Tensor]) -> list[Tensor]:
    """The output, and the gradients of its sum for the network's parameters."""
    output = out(network)
    output.sum().backward()
    return [output.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]


CHECKS = (saved_weights_can_be_loaded, unknown_entries_do_not_matter)
