"""Checks of a model's networks and training."""

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
from mmtoolkit.components import ManyDraws, Modality, Model, Network
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.prior import StandardNormal
from mmtoolkit.testing.promises import close, double, finite, read_back, round_trip, shape
from mmtoolkit.testing.stand_ins import batch_of, stand_in_modalities, stand_in_values, with_holes
from mmtoolkit.training.networks import build

ROWS = 16
_STEPS = 60
_MOST_SETS = 8
_SEEDS = 20
_ERRORS = 4.0


class Subject:
    """A model under test, with modalities and rows.

    Args:
        model: builds the networks to check.
        modalities: name -> modality with `example_cells`; by default three small ones of the kit, or two or one if the
            model rejects more.
    """

    def __init__(self, model: Model, modalities: Mapping[str, Modality] | None = None) -> None:
        self.model = model
        originals = _most_modalities(model) if modalities is None else modalities
        self.values = stand_in_values(originals, ROWS)
        self.modalities = {name: m.fit(iter([list(m.example_cells())])) for name, m in originals.items()}
        self.complete = batch_of(self.values, torch.ones(ROWS, len(self.values), dtype=torch.bool))
        self.holes = with_holes(self.values)

    def network(self, seed: int = 0) -> Network:
        """Networks with untrained weights, in evaluation mode."""
        network = build(self.model, self.modalities, seed)
        network.eval()
        return network

    @cached_property
    def sets(self) -> list[tuple[str, ...]]:
        """Up to eight sets of modalities that z can be inferred from, each in schema order.

        The first is empty if the model has a prior.
        """
        names = tuple(self.modalities)
        listed = self.network().subsets()
        if listed is None:
            sets = [c for n in range(1, len(names) + 1) for c in itertools.combinations(names, n)]
        else:
            sets = [tuple(name for name in names if name in subset) for subset in listed]
        nothing: list[tuple[str, ...]] = [()] if self.network().supports(()) else []
        return [*nothing, *sets[: _MOST_SETS - 2], *sets[-1:]]

    def noise(self, *leading: int, seed: int = 3) -> Tensor:
        """Standard normal (..., B, D)."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*leading, ROWS, self.latent_dim, generator=generator)

    @cached_property
    def latent_dim(self) -> int:
        """D, the size of the whole of z."""
        return self.network().latent_dim

    def loss(
        self, network: Network, batch: Batch, beta: float = 1.0, seed: int = 5
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a step and its parts; the seed fixes the draws."""
        torch.manual_seed(seed)
        loss: tuple[Tensor, dict[str, Tensor]] = network(batch, beta)
        return loss


def _most_modalities(model: Model) -> dict[str, Modality]:
    """As many of the kit's modalities as the model accepts."""
    modalities = stand_in_modalities()
    while len(modalities) > 1:
        try:
            build(model, modalities, seed=0)
        except UserError:
            modalities.popitem()
        else:
            break
    return modalities


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options survive JSON unchanged."""
    yield from round_trip(subject.model)


def network_is_built(subject: Subject) -> Iterator[str]:
    """`build` returns a Network over the modalities, the same for the same seed."""
    network, again = subject.network(), subject.network()
    if not isinstance(network, Network):
        raise TypeError(f"build returns {type(network).__name__}, which is no mmtoolkit.Network")
    names = tuple(subject.modalities)
    shared = range(network.latent_dim)[network.shared]
    if tuple(network.modalities) != names or len(shared) != subject.model.latent_dim:
        yield (
            "build: its network must have all modalities in schema order, and share latent_dim "
            f"{subject.model.latent_dim} of its latent variables, but has {tuple(network.modalities)} and shares "
            f"{len(shared)}; pass both on to Network, and correct `shared` if there are private ones"
        )
    if not all(map(torch.equal, network.state_dict().values(), again.state_dict().values())):
        yield (
            "build: must draw weights only from PyTorch's default generator, but the same seed gave other weights; "
            "use no other randomness"
        )
    for what in ("inputs", "targets", "conditions"):
        listed = tuple(getattr(network, what))
        if any(name not in names for name in listed) or listed != tuple(name for name in names if name in listed):
            yield f"{what}: must list modalities in schema order, but got {listed}; use the order of {names}"
    own = {id(p) for p in network.parameters()}
    if any(id(p) not in own for module in network.inference_modules() for p in module.parameters()):
        yield (
            "inference_modules: must be parts of the network, but some of their parameters are not; register them as "
            "submodules"
        )
    usable = network.usable(subject.holes.present)
    if usable.dtype != torch.bool or usable.shape != (ROWS,) or usable[-1]:
        yield (
            f"usable: must return bool ({ROWS},), False for a row that has nothing, but got {usable.dtype} "
            f"{shape(usable)}, or True for such a row; correct it"
        )


def loss_has_parts(subject: Subject) -> Iterator[str]:
    """`forward` returns a finite scalar loss, and detached parts with the same names in every step."""
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
                f"forward: must return a finite scalar loss, but got {shape(loss)} "
                f"{loss.detach().flatten()[:1].tolist()} for {what}; divide by the number of usable rows, or by 1 if "
                "there is none"
            )
            continue
        if any(part.shape != () or part.requires_grad or not finite(part) for part in parts.values()):
            yield (f"forward: parts must be finite scalars without gradient, but some were not for {what}; detach them")
        names = names or list(parts)
        if list(parts) != names:
            yield (
                f"forward: must return the same parts in every step, {', '.join(names)}, but got {', '.join(parts)} "
                f"for {what}; return zero for a part without rows"
            )


def every_parameter_learns(subject: Subject) -> Iterator[str]:
    """Every parameter gets a finite gradient from whole rows, and none if no row has its modality."""
    network = subject.network()
    for seed in range(5):  # random subsets may omit a parameter
        subject.loss(network, subject.complete, seed=seed)[0].backward()
    if idle := [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]:
        yield (
            f"forward: every parameter must get a gradient, but {listing(idle, 3)} got none; use it in the loss, or do "
            "not build it"
        )
    network.zero_grad()
    loss = subject.loss(network.train(), subject.holes)[0]
    if loss.requires_grad:
        loss.backward()
    if any(p.grad is not None and not finite(p.grad) for p in network.parameters()):
        yield (
            "forward: gradients must be finite for rows with holes, but got NaN or infinity; mask before exp, not after"
        )
    for name in subject.modalities:
        network.zero_grad()
        loss = subject.loss(network, subject.complete.only(set(subject.modalities) - {name}))[0]
        if loss.requires_grad:
            loss.backward()
        unused = [part.of(name) for part in (network.encoders, network.decoders) if name in part.names]
        if any(p.grad is not None for part in unused for p in part.parameters()):
            yield (
                f"forward: networks of a modality that no row has must get no gradient, but those of {name} got one; "
                "do not run them on zero rows"
            )


def missing_cells_do_not_matter(subject: Subject) -> Iterator[str]:
    """The value in a missing cell changes neither loss nor gradients, not even the last bit."""
    present, results = subject.holes.present, []
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
        results.append([loss.detach(), *(p.grad for p in network.parameters() if p.grad is not None)])
    if any(len(other) != len(results[0]) or not all(map(torch.equal, results[0], other)) for other in results[1:]):
        yield (
            "forward: the value in a missing cell must change nothing, but did; read batch.value(name), which has only "
            "present rows"
        )


def draws_come_from_one_generator(subject: Subject) -> Iterator[str]:
    """A step draws only from PyTorch's default generator."""
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
            "forward: a step must be the same for the same seed of PyTorch's generator, but the loss differed; draw "
            "only with torch, and keep no state between steps"
        )


def beta_weights_the_divergence(subject: Subject) -> Iterator[str]:
    """The loss is linear in beta and grows with it; that of several draws is concave in it, and not constant."""
    network = subject.network()
    several = isinstance(subject.model, ManyDraws) and subject.model.draws > 1
    # One draw may estimate a small divergence from another prior as negative.
    seeds = range(5, 6) if isinstance(network.prior, StandardNormal) else range(_SEEDS)
    losses = torch.stack(
        [
            torch.stack([subject.loss(network, subject.complete, beta, seed)[0].detach() for seed in seeds])
            for beta in (0.0, 1.0, 2.0)
        ]
    )
    zero, one, two = losses.mean(1)
    error = (losses[1] - losses[0]).std() / len(seeds) ** 0.5 if len(seeds) > 1 else 0.0
    if several:  # minus the logarithm of a mean of exp(a - beta b)
        if one == zero or not 2 * one >= zero + two - 1e-3 * (zero - one).abs():
            yield (
                f"forward: the loss of several draws must be concave in beta, but at beta 0, 1, 2 it is {zero:.4g}, "
                f"{one:.4g}, {two:.4g}; multiply the log-ratios of each draw by beta, and nothing else"
            )
    elif not close(two - one, one - zero, 1e-3) or not one + _ERRORS * error > zero:
        yield (
            f"forward: beta must be the weight of the KL divergence, but the loss at beta 0, 1, 2 is {zero:.4g}, "
            f"{one:.4g}, {two:.4g}; multiply the divergence by beta, and nothing else"
        )


def training_raises_the_bound(subject: Subject) -> Iterator[str]:
    """Training, which lowers the loss, raises the bound."""
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
            f"forward: training must raise bound, but {_STEPS} steps took it from {before:.4g} to {after:.4g}; check "
            "the signs of the loss and of bound"
        )


def precision_is_high(subject: Subject) -> Iterator[str]:
    """With weights and values in float64, all results are float64."""
    network = subject.network().double()
    values = {name: double(value) for name, value in subject.values.items()}
    batch = batch_of(values, subject.holes.present)
    loss = subject.loss(network, batch)[0]
    bound = network.bound(batch, subject.noise().double())
    kinds = {"the loss": loss.dtype, "bound": bound.dtype, "infer": network.infer_all(batch).mean.dtype}
    if other := [what for what, kind in kinds.items() if kind != torch.float64]:
        yield (
            f"forward: all results must be float64 if weights and values are, but {', '.join(other)} is not; make new "
            "tensors with new_zeros, or with the weights' type"
        )


def saved_weights_can_be_loaded(subject: Subject) -> Iterator[str]:
    """Networks built from saved options load saved weights and return the same results."""
    saved = subject.network()
    new: nn.Module = build(read_back(subject.model), subject.modalities, seed=9).eval()
    new.load_state_dict(saved.state_dict())
    assert isinstance(new, Network)
    with torch.no_grad():
        if not torch.equal(new.bound(subject.holes, subject.noise()), saved.bound(subject.holes, subject.noise())):
            yield (
                "build: networks with the same weights must return the same results, but bound differs; keep other "
                "state in buffers"
            )


CHECKS = (
    network_is_built,
    options_come_back,
    loss_has_parts,
    every_parameter_learns,
    missing_cells_do_not_matter,
    draws_come_from_one_generator,
    beta_weights_the_divergence,
    training_raises_the_bound,
    precision_is_high,
    saved_weights_can_be_loaded,
)
