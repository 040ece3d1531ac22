"""What a model's loss is made of: draws of z, what each reconstructs, and divergences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from mmtoolkit.components.network import Network
from mmtoolkit.components.pairs import Pairs, plan_pairs
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Gaussian, Posterior

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Divergence:
    """One kind of KL divergences in a loss: `coefficient` x KL(q || to), in nats.

    Attributes:
        name: of the part of the loss that training reports, which leaves out the coefficient.
        to: a posterior (N, D), or E Gaussians for each pair (E, N, D), whose divergences add up; by default the prior.
            Between Gaussians they have a closed form; others are estimated from the draws.
        coefficient: a number, or one for each pair (N,).
        counts: (E, N) bool, which of the E Gaussians count; by default all.
        q: by default that of the terms, of N pairs; any other is of any N rows. Where its divergence is estimated,
            row j takes the noise of pair j, or of pair j mod the number of pairs.
        weight: of each row of such a q, (N,), as `Terms.weight` is that of each pair. By default 1.
        annealed: whether β weights it too.
    """

    name: str = "KL"
    to: Posterior | None = None
    coefficient: Tensor | float = 1.0
    counts: Tensor | None = None
    q: Posterior | None = None
    weight: Tensor | None = None
    annealed: bool = True

    @property
    def times(self) -> Tensor | int:
        """How many Gaussians count, for all pairs or each of them (N,)."""
        if self.counts is not None:
            return self.counts.sum(0)
        return 1 if self.to is None or self.to.mean.ndim == 2 else len(self.to.mean)

    def summed(self, each: Tensor) -> Tensor:
        """The sum over the Gaussians that count: (..., E, N) to (..., N); without E, as it is."""
        if self.counts is not None:
            each = torch.where(self.counts, each, 0.0)
        return each if self.to is None or self.to.mean.ndim == 2 else each.sum(-2)


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of a step: N (term, row) pairs, each with a distribution of z to draw from.

    The loss of a step is minus the sum over pairs of

        weight (reconstruction E_q[sum_i λ_i log p(x_i | z)] - β sum coefficient KL(q || to)),

    divided by the number of usable rows.

    Attributes:
        q: of N pairs.
        pairs: their rows, their noise and what they reconstruct.
        weight: of each pair, (N,). By default 1.
        reconstruction: a further weight of the log-probabilities of each pair, (N,). By default 1.
        divergences: by default KL(q || p(z)).
        scale: (N, D) or less, what the draws are multiplied by before they are decoded. By default 1.
    """

    q: Posterior
    pairs: Pairs
    weight: Tensor | None = None
    reconstruction: Tensor | None = None
    divergences: Sequence[Divergence] = (Divergence(),)
    scale: Tensor | None = None

    def decoder_input(self, z: Tensor) -> Tensor:
        """What decoders read of draws z (..., N, D)."""
        return z if self.scale is None else z * self.scale


@dataclass(frozen=True, eq=False)
class Step:
    """What the terms of a step are made of.

    Attributes:
        network: whose step it is.
        batch: B usable rows, all of whose known cells are scored.
        visible: the same rows with what z is inferred from.
        subsets: (k, U) bool, on the host: the subsets of units that the step uses.
        present: (B, U) bool, on the host: what the rows have.
        seen: (B, U) bool, on the host: what is visible of it.
        plans: where `plan` keeps what it made last.
    """

    network: Network
    batch: Batch
    visible: Batch
    subsets: Tensor
    plans: dict[object, Any] = field(default_factory=dict)
    present: Tensor = field(init=False)
    seen: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", self.network.there(self.batch))
        hides = self.visible is not self.batch
        object.__setattr__(self, "seen", self.network.there(self.visible) if hides else self.present)

    @cached_property
    def packed(self) -> tuple[Gaussian, Tensor]:
        """The experts of what is visible, each unit encoded once, and their places: `Network.packed_experts`."""
        return self.network.packed_experts(self.visible)

    @cached_property
    def experts(self) -> Gaussian:
        """The experts of what is visible for all rows: (U, B, D); N(0, I) where `seen` is False."""
        return self.network.spread(*self.packed, self.batch.size)

    def once(self, units: Sequence[str] | None = None) -> Pairs:
        """One term in which each row draws once and reconstructs those of the units that it has; by default all."""
        names = list(self.network.units)
        scored = torch.tensor([name in (names if units is None else units) for name in names])
        everyone = torch.ones(1, self.batch.size, dtype=torch.bool)
        scores = scored.expand(1, self.batch.size, len(names))
        return self.plan(lambda: plan_pairs(scores, self.present, self.batch.device, everyone))

    def plan(self, make: Callable[[], T]) -> T:
        """What `make` makes, or made in the last step if that had the same rows with the same holes and subsets.

        Call it once a step, with what depends only on `present`, `seen`, `subsets` and the device of the batch.
        """
        arrays = (x.contiguous().numpy().tobytes() for x in (self.present, self.seen, self.subsets))
        key = (self.present.shape, *arrays, self.batch.device)
        if key not in self.plans:
            self.plans.clear()
            self.plans[key] = make()
        plan: T = self.plans[key]
        return plan
