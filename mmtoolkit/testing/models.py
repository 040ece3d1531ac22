"""What a model promises of its networks and of training."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import listing
from mmtoolkit.components import Modality, Model, Network
from mmtoolkit.core.batch import Batch
from mmtoolkit.testing.cells import round_trip
from mmtoolkit.testing.promises import close, double, finite, shape
from mmtoolkit.testing.stand_ins import batch_of, stand_in_modalities, stand_in_values, with_holes
from mmtoolkit.training.networks import build

ROWS = 16
_STEPS = 60
_MOST_SETS = 8


class Subject:
    """A model over modalities, and rows of these.

    Args:
        model: whose networks are tried.
        modalities: name -> modality, with `example_cells`; small ones of the kit's own where left out: three, or two or
            one where the model refuses more.
    """

    def __init__(self, model: Model, modalities: Mapping[str, Modality] | None = None) -> None:
        self.model = model
        given = _taken(model) if modalities is None else modalities
        self.values = stand_in_values(given, ROWS)
        self.modalities = {name: m.fit(iter([list(m.example_cells())])) for name, m in given.items()}
        self.complete = batch_of(self.values, torch.ones(ROWS, len(self.values), dtype=torch.bool))
        self.holes = with_holes(self.values)

    def network(self, seed: int = 0) -> Network:
        """Networks with fresh weights, in evaluation mode."""
        network = build(self.model, self.modalities, seed)
        network.eval()
        return network

    @cached_property
    def sets(self) -> list[tuple[str, ...]]:
        """Sets of modalities that z can be inferred from, eight at most, in schema order; nothing is the first."""
        names = tuple(self.modalities)
        listed = self.network().subsets()
        if listed is None:
            found = [c for n in range(1, len(names) + 1) for c in itertools.combinations(names, n)]
        else:
            found = [tuple(name for name in names if name in subset) for subset in listed]
        return [(), *found[: _MOST_SETS - 2], *found[-1:]]

    def noise(self, *leading: int, seed: int = 3) -> Tensor:
        """Standard normal (..., B, D)."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*leading, ROWS, self.model.latent_dim, generator=generator)

    def loss(
        self, network: Network, batch: Batch, beta: float = 1.0, seed: int = 5
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A step's loss, its draws fixed by the seed."""
        torch.manual_seed(seed)
        found: tuple[Tensor, dict[str, Tensor]] = network(batch, beta)
        return found


def _taken(model: Model) -> dict[str, Modality]:
    """The most of the kit's modalities that a model takes."""
    given = stand_in_modalities()
    while len(given) > 1:
        try:
            build(model, given, seed=0)
        except UserError:
            given.popitem()
        else:
            break
    return given


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options come back from JSON as they were."""
    yield from round_trip(subject.model)


def it_is_built(subject: Subject) -> Iterator[str]:
    """`build` gives a Network over the modalities, the same for the same seed."""
    network, again = subject.network(), subject.network()
    if not isinstance(network, Network):
        raise TypeError(f"build gives {type(network).__name__}, which is no mmtoolkit.Network")
    names = tuple(subject.modalities)
    if tuple(network.modalities) != names or network.latent_dim != subject.model.latent_dim:
        yield (
            f"build: its network has all modalities in schema order and latent_dim {subject.model.latent_dim}, but "
            f"{tuple(network.modalities)} and {network.latent_dim} came; pass them on to Network"
        )
    if not all(map(torch.equal, network.state_dict().values(), again.state_dict().values())):
        yield (
            "build: draws weights from PyTorch's default generator, but the same seed gave others; draw from nothing "
            "else"
        )
    for what in ("inputs", "targets", "conditions"):
        said = tuple(getattr(network, what))
        if any(name not in names for name in said) or said != tuple(name for name in names if name in said):
            yield f"{what}: names modalities in schema order, but {said} came; keep to {names}"
    own = {id(p) for p in network.parameters()}
    if any(id(p) not in own for module in network.inference_modules() for p in module.parameters()):
        yield (
            "inference_modules: are parts of the network, but some parameters are not its own; register them as "
            "submodules"
        )
    usable = network.usable(subject.holes.present)
    if usable.dtype != torch.bool or usable.shape != (ROWS,) or usable[-1]:
        yield (
            f"usable: says which rows can be learned from, bool ({ROWS},), none that has nothing, but {usable.dtype} "
            f"{shape(usable)} came; correct it"
        )


def loss_is_told_in_parts(subject: Subject) -> Iterator[str]:
    """`forward` gives a finite scalar loss, and detached parts of the same names in every step."""
    network = subject.network().train()
    nobody = batch_of(subject.values, torch.zeros(ROWS, len(subject.values), dtype=torch.bool))
    one = torch.zeros(ROWS, len(subject.values), dtype=torch.bool)
    one[0] = True
    alone = {f"{name} alone": subject.complete.only({name}) for name in subject.modalities}
    batches = {
        "whole rows": subject.complete,
        "rows with holes": subject.holes,
        **alone,
        "one whole row": batch_of(subject.values, one),
        "no row": nobody,
    }
    names: list[str] | None = None
    for what, batch in batches.items():
        loss, parts = subject.loss(network, batch)
        if loss.shape != () or not finite(loss):
            yield (
                f"forward: gives a finite scalar loss, but {shape(loss)} {loss.detach().flatten()[:1].tolist()} came "
                f"for {what}; average over usable rows, at least one"
            )
            continue
        if any(part.shape != () or part.requires_grad or not finite(part) for part in parts.values()):
            yield f"forward: its parts are finite scalars without gradient, but some were not for {what}; detach them"
        names = names or list(parts)
        if list(parts) != names:
            yield (
                f"forward: names the same parts in every step, {', '.join(names)}, but {', '.join(parts)} came for "
                f"{what}; give zero where there is none"
            )


def every_parameter_learns(subject: Subject) -> Iterator[str]:
    """Every parameter gets a finite gradient from whole rows, and none where no row has its modality."""
    network = subject.network()
    for seed in range(5):  # random subsets may leave one out
        subject.loss(network, subject.complete, seed=seed)[0].backward()
    if none := [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]:
        yield (
            f"forward: every parameter gets a gradient, but {listing(none, 3)} got none; use it in the loss, or do "
            "not build it"
        )
    network.zero_grad()
    loss = subject.loss(network.train(), subject.holes)[0]
    if loss.requires_grad:
        loss.backward()
    if any(p.grad is not None and not finite(p.grad) for p in network.parameters()):
        yield (
            "forward: gradients are finite where rows have holes, but NaN or infinity came; mask before exp, not after"
        )
    for name in subject.modalities:
        network.zero_grad()
        loss = subject.loss(network, subject.complete.only(set(subject.modalities) - {name}))[0]
        if loss.requires_grad:
            loss.backward()
        unused = [part.of(name) for part in (network.encoders, network.decoders) if name in part.names]
        if any(p.grad is not None for part in unused for p in part.parameters()):
            yield (
                f"forward: networks of what no row has get no gradient, but those of {name} got one; do not run them "
                "on no rows"
            )


def missing_cells_do_not_matter(subject: Subject) -> Iterator[str]:
    """What stands in a missing cell changes neither loss nor gradients by a bit."""
    present, found = subject.holes.present, []
    for garbage in (0.0, torch.nan, torch.inf, -1e30):
        values = {}
        for m, (name, value) in enumerate(subject.values.items()):
            there = present[:, m].view(-1, *[1] * (value.ndim - 1))
            filler = torch.full_like(value, garbage) if value.is_floating_point() else torch.zeros_like(value)
            values[name] = torch.where(there, value, filler)
        network = subject.network().train()
        loss = subject.loss(network, batch_of(values, present))[0]
        if loss.requires_grad:
            loss.backward()
        found.append([loss.detach(), *(p.grad for p in network.parameters() if p.grad is not None)])
    if any(len(other) != len(found[0]) or not all(map(torch.equal, found[0], other)) for other in found[1:]):
        yield (
            "forward: what stands in a missing cell changes nothing, but it did; read batch.value(name), present rows "
            "only"
        )


def draws_come_from_one_generator(subject: Subject) -> Iterator[str]:
    """The only randomness of a step is that of PyTorch's default generator."""
    network, losses = subject.network().train(), []
    states = random.getstate(), np.random.get_state()
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        losses.append(subject.loss(network, subject.complete)[0].detach())
    random.setstate(states[0])
    np.random.set_state(states[1])
    if not torch.equal(*losses):
        yield (
            "forward: with PyTorch's generator seeded alike a step is the same, but the loss differed; draw by torch "
            "alone, and keep no state between steps"
        )


def beta_weights_the_divergence(subject: Subject) -> Iterator[str]:
    """The loss grows with beta as a straight line."""
    network = subject.network()
    zero, one, two = (subject.loss(network, subject.complete, beta)[0].detach() for beta in (0.0, 1.0, 2.0))
    if not close(two - one, one - zero, 1e-3) or not one > zero:
        yield (
            f"forward: beta is the weight of the KL divergence, but the loss at beta 0, 1, 2 is {zero:.4g}, {one:.4g}, "
            f"{two:.4g}; multiply the divergence by beta, and nothing else"
        )


def training_raises_the_bound(subject: Subject) -> Iterator[str]:
    """What lowers the loss raises the bound."""
    network, noise = subject.network(), subject.noise()
    usable = network.usable(subject.complete.present)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    with torch.no_grad():
        before = network.bound(subject.complete, noise)[usable].mean()
    for step in range(_STEPS):
        optimizer.zero_grad()
        subject.loss(network.train(), subject.complete, seed=step)[0].backward()
        optimizer.step()
    with torch.no_grad():
        after = network.eval().bound(subject.complete, noise)[usable].mean()
    if not after > before:
        yield (
            f"forward: lowering the loss raises bound, but {_STEPS} steps took it from {before:.4g} to {after:.4g}; "
            "check the signs of both"
        )


def precision_is_kept(subject: Subject) -> Iterator[str]:
    """In float64 everything stays in float64."""
    network = subject.network().double()
    values = {name: double(value) for name, value in subject.values.items()}
    batch = batch_of(values, subject.holes.present)
    loss = subject.loss(network, batch)[0]
    bound = network.bound(batch, subject.noise().double())
    kinds = {"the loss": loss.dtype, "bound": bound.dtype, "infer": network.infer_all(batch).mean.dtype}
    if other := [what for what, kind in kinds.items() if kind != torch.float64]:
        yield (
            f"forward: with weights and values in float64 all is float64, but {', '.join(other)} is not; make new "
            "tensors by new_zeros, or of the weights' type"
        )


def weights_fit_networks_built_again(subject: Subject) -> Iterator[str]:
    """Networks built again from saved options take saved weights, and give what they gave."""
    saved = subject.network()
    model = type(subject.model).model_validate_json(subject.model.model_dump_json())
    new: nn.Module = build(model, subject.modalities, seed=9).eval()
    new.load_state_dict(saved.state_dict())
    assert isinstance(new, Network)
    with torch.no_grad():
        if not torch.equal(new.bound(subject.holes, subject.noise()), saved.bound(subject.holes, subject.noise())):
            yield (
                "build: networks with the same weights give the same, but bound differs; keep what they remember in "
                "buffers"
            )


CHECKS = (
    it_is_built,
    options_come_back,
    loss_is_told_in_parts,
    every_parameter_learns,
    missing_cells_do_not_matter,
    draws_come_from_one_generator,
    beta_weights_the_divergence,
    training_raises_the_bound,
    precision_is_kept,
    weights_fit_networks_built_again,
)
