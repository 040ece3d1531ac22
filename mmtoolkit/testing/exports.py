"""Checks that torch.export takes components, for any number of rows, and that they then compute the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.export import Dim

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import one_line
from mmtoolkit.export.programs import DecoderProgram, PosteriorProgram, Program
from mmtoolkit.export.slots import slots_of
from mmtoolkit.export.tracing import quiet, traced
from mmtoolkit.models import MVAE
from mmtoolkit.testing import architectures, models
from mmtoolkit.testing.architectures import EXTRA
from mmtoolkit.testing.promises import close
from mmtoolkit.testing.subjects import Networked
from mmtoolkit.training.networks import build

_REMEDY = "use operations of PyTorch alone, no number of a tensor on the host, and x.shape[0] for len(x)"


def model_is_exported(subject: models.Subject) -> Iterator[str]:
    """`mmt export` writes q(z | what is present), the same as infer_all, or the network says that it cannot."""
    network = subject.network()
    program = PosteriorProgram(network, slots_of(network.modalities))
    fault = _fault(program, "posterior_of_experts")
    if fault is not None:
        yield from fault
        return
    present = subject.holes.present
    tensors = []
    for name in program.names:
        value = subject.values[name]
        there = present[:, program.places[name]].view(-1, *[1] * (value.ndim - 1))
        tensors.append(torch.where(there, value, torch.nan) if value.is_floating_point() else value)
    with torch.no_grad():
        actual, expected = program(*tensors, present), network.infer_all(subject.holes)
    mean, variance = (actual[program.output(name)] for name in ("mean", "variance"))
    if not close(mean, expected.mean) or not close(variance, expected.variance):
        yield (
            "posterior_of_experts: must give what infer_all gives, row by row, but does not; let posterior call it, or "
            "write posterior_of_values too"
        )


def unit_is_exported(subject: Networked) -> Iterator[str]:
    """`mmt export` writes its encoder and its decoder, or `exported` says that it cannot."""
    yield from _network_fault("encoder(width)", subject.encoder(), [subject.x])
    network = build(MVAE(latent_dim=2), {"x": subject.unit}, seed=0).eval()
    yield from _fault(DecoderProgram(network, slots_of(network.modalities), "x"), "decoder(size)") or ()


def networks_are_exported(subject: architectures.Subject) -> Iterator[str]:
    """torch.export takes its networks, for any number of rows."""
    types = set()
    for form in subject.forms:
        if type(form) in types:
            continue
        types.add(type(form))
        for call in subject.calls_of(form):
            if call.where.startswith(("encoder", "raw")) and not call.where.endswith((f"extra={EXTRA})", ", 2)")):
                yield from _network_fault(call.where, call.network(), call.inputs)


def _fault(program: Program, where: str) -> list[str] | None:
    """A sentence if a program cannot be exported; none if its component says so itself; None if it can."""
    try:
        traced(program, where)
    except UserError as error:
        if isinstance(error.__cause__, NotImplementedError):
            return []
        return [f"{where}: must be exported by torch.export, but it {one_line(str(error))}; {_REMEDY}"]
    return None


def _network_fault(where: str, network: nn.Module, inputs: Sequence[Tensor]) -> Iterator[str]:
    with quiet(), torch.no_grad():
        try:
            shapes = tuple({0: Dim("rows")} for _ in inputs)
            run = torch.export.export(network, tuple(inputs), dynamic_shapes=shapes).module()
            many = [x.repeat(2, *[1] * (x.ndim - 1)) for x in inputs]
            same = close(run(*many), network(*many))
        except Exception as error:
            yield f"{where}: must be exported by torch.export, but it raised {one_line(str(error))}; {_REMEDY}"
            return
    if not same:
        yield f"{where}: must compute the same when it is exported, but does not; {_REMEDY}"
