"""What each part of a row contributes to q(z | what the row has), and to the prediction of one target."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.components import Run
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.core.divergence import kl_between
from mmtoolkit.core.posterior import Posterior, point_of
from mmtoolkit.tables.fitting import plain
from mmtoolkit.using.leaving_out import Whole, parts_of

MEASURES = ("share", "shift", "kl")
EFFECT = "effect"
_DRAWS = 128  # of z, for a divergence without closed form


@dataclass(frozen=True, eq=False)
class Contributions:
    """The contributions of the parts of n rows.

    Attributes:
        numbers: (part, measure) -> (n,) float64, on the host, NaN where there is none; the part of a normal prior that
            is an expert is called as `Explainer.prior` says.
        predicted: the cells of the target as predicted from everything else, None where it cannot be; None if there is
            no target, or its cells are no single values.
    """

    numbers: dict[tuple[str, str], Tensor]
    predicted: list[Any] | None


class Explainer:
    """Computes contributions, some rows at a time.

    Args:
        run: infers z.
        target: the modality whose prediction to explain.

    Raises:
        UserError: the model reads nothing, or does not predict the target.
    """

    def __init__(self, run: Run, target: str | None = None) -> None:
        self.run, self.target, self.parts = run, target, parts_of(run)
        if not self.parts:
            raise UserError("the model infers z from nothing, so there is nothing to explain; take another model")
        if target is not None:
            _check_target(run, target)
        self.prior = "prior" if "prior" not in {part.name for part in self.parts} else "p(z)"
        self._generator = torch.Generator(run.device).manual_seed(seed_for("explain", 0))
        self.unanswered: Counter[str] = Counter()
        """Part -> in how many rows the model cannot infer z without it."""
        self.uninformed = 0
        """How many rows have nothing to infer z from."""

    @functools.cached_property
    @torch.no_grad()
    def has_shares_of_prior(self) -> bool:
        """Whether q is a product of experts, of which the prior has a share."""
        return self.run.model.product(self._no_rows) is not None

    @functools.cached_property
    def example(self) -> Any:
        """A cell of the target as predicted; None if there is no target, or its cells are no single values."""
        model, target = self.run.model, self.target
        if target is None or self.run.modalities[target].event_shape() != ():
            return None
        with torch.no_grad():
            nothing = self._no_rows
            p = model.decode(model.blank(nothing, 1, model.latent_dim), nothing, [target])[target]
        modality = self.run.modalities[target]
        return plain(modality.cell(modality.point(p)[0].cpu()))

    def keys(self) -> list[tuple[str, str]]:
        """All (part, measure) pairs, in order."""
        keys = []
        for part in self.parts:
            keys += [(part.name, measure) for measure in MEASURES]
            if self.target is not None and part.members != {self.target}:
                keys.append((part.name, EFFECT))
        return [*keys, (self.prior, MEASURES[0])] if self.has_shares_of_prior else keys

    @torch.no_grad()
    def contributions(self, batch: Batch) -> Contributions:
        """The contributions in each row of a batch."""
        model = self.run.model
        whole = Whole.of(model, batch)
        numbers = {key: torch.full((batch.size,), torch.nan, dtype=torch.float64) for key in self.keys()}
        q, noise = model.shared_posterior(whole.q), self._noise(_DRAWS, batch, model.shared)
        for left_out in whole.all_without(self.parts):
            part = left_out.part.name
            rows = left_out.rows & whole.informed
            self.unanswered[part] += int((rows & ~left_out.answered).sum())
            if left_out.share is not None:
                numbers[part, "share"] = _only(rows, left_out.share)
            rows = rows & left_out.answered
            p = model.shared_posterior(left_out.q)
            if left_out.share is None:
                numbers[part, "share"] = _only(rows, (1 - q.variance / p.variance).mean(-1))
            moved = (q.mean - p.mean).square() / q.variance
            numbers[part, "shift"] = _only(rows, moved.sum(-1).sqrt())
            numbers[part, "kl"] = _only(rows, kl_between(q, p, noise))
        if whole.product is not None:
            numbers[self.prior, "share"] = whole.product.shares()[-1].double().cpu()
        self.uninformed += int((~whole.informed).sum())
        predicted = None if self.target is None else self._explain_target(batch, self.target, numbers)
        return Contributions(numbers, predicted)

    def _explain_target(self, batch: Batch, target: str, numbers: dict[tuple[str, str], Tensor]) -> list[Any] | None:
        """Add the effects on the target to the numbers; its predictions. The target itself is not given."""
        model, modality = self.run.model, self.run.modalities[target]
        whole = Whole.of(model, batch.only(set(model.modalities) - {target}))
        (unit,) = model.touched([target])
        draws = model.pooled_draws(unit)
        noise = self._noise(draws, batch, slice(0, model.latent_dim))

        def decoded(q: Posterior, given: Batch) -> Distribution:
            z = point_of(q) if draws == 1 else q.rsample(noise()).flatten(0, 1)
            return model.decode(z, given, [target])[target]

        p = decoded(whole.q, whole.batch)
        ready = self._is_ready(whole.batch) & (whole.informed | (model.prior is not None))
        for left_out in whole.all_without([part for part in self.parts if part.members != {target}]):
            rows = left_out.rows & left_out.answered & ready & self._is_ready(left_out.batch)
            effect = modality.effect(p, decoded(left_out.q, left_out.batch), draws)
            numbers[left_out.part.name, EFFECT] = _only(rows, effect)
        if self.example is None:
            return None
        values = modality.predicted(p, draws).cpu()
        return [plain(modality.cell(value)) if sure else None for value, sure in zip(values, ready, strict=True)]

    def _is_ready(self, batch: Batch) -> Tensor:
        """Which rows have all that the target is decoded given, (B,) bool."""
        names = list(self.run.model.modalities)
        return batch.present[:, [names.index(name) for name in self.run.model.conditions]].all(1)

    def _noise(self, draws: int, batch: Batch, part: slice) -> Callable[[], Tensor]:
        """Gives the noise behind some draws of a part of z, the same at every call."""
        shape = (draws, batch.size, part.stop - part.start)

        @functools.cache
        def noise() -> Tensor:
            return torch.randn(shape, generator=self._generator, device=self.run.device)

        return noise

    @property
    def _no_rows(self) -> Batch:
        """One row without anything."""
        run = self.run
        nothing = {n: torch.zeros(0, *m.event_shape(), device=run.device) for n, m in run.model.modalities.items()}
        return Batch.of_present(1, nothing, dict.fromkeys(nothing, torch.zeros(0, dtype=torch.int64)))

    def notes(self) -> list[str]:
        """Lines for the user on what has no contribution."""
        notes = []
        if self.uninformed:
            notes.append(f"rows with nothing to infer z from: {self.uninformed:,}; they have no contributions")
        for part, rows in self.unanswered.items():
            if rows:
                notes.append(
                    f"rows in which the model cannot infer z from all but {part}: {rows:,}; the contribution of {part} "
                    "is missing there"
                )
        return notes


def _only(rows: Tensor, numbers: Tensor) -> Tensor:
    """Numbers (B,) as float64, on the host, NaN in other rows."""
    return torch.where(rows, sent(numbers.double(), torch.device("cpu")), torch.nan)


def _check_target(run: Run, target: str) -> None:
    model = run.model
    if target in model.members and target not in model.modalities:
        columns: Sequence[str] = model.members[target]
        raise UserError(f"target {target}: is a record; name one of its columns, {', '.join(columns)}")
    if target in run.modalities and target not in model.modalities:
        raise UserError(f"target {target}: is not modelled, so the model does not predict it; choose another target")
    if target not in model.modalities:
        hint = did_you_mean(target, list(model.modalities))
        known = ", ".join(model.targets)
        raise UserError(f"target {target}: there is no such modality{hint}; the model predicts {known}")
    if target not in model.targets:
        raise UserError(f"target {target}: the model does not decode it; it predicts {', '.join(model.targets)}")
