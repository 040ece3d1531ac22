"""The log-likelihood of modalities, alone or given others, by importance sampling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, Self

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from mmtoolkit.base.score_names import entry_name
from mmtoolkit.components import Network, Run, Scores
from mmtoolkit.components.entries import (
    Entry,
    EntryEvaluator,
    all_in_order,
    described,
    in_order,
    priorless,
    scored_rows,
    unconditioned,
    undecoded,
    uninferred,
    unseen,
)
from mmtoolkit.core.batch import Batch
from mmtoolkit.evaluators.complete import some_rows
from mmtoolkit.evaluators.estimates import MeanEstimate
from mmtoolkit.evaluators.importance import FEW, MEMORY, Estimate, estimate
from mmtoolkit.evaluators.progress import metered_batches

Names = tuple[str, ...]

# Draws from the prior find likely values of a given with up to so many numbers, but hardly ever with more.
_MOST_NUMBERS = 64
_MANY = 0.1
_BATCH_ROWS = 500

# A note recommends so many steps.
_USUAL_STEPS = 50


class LikelihoodEntry(Entry):
    """One score: log p(target | given), with z from q(z | proposal)."""

    target: tuple[str, ...]
    """The modalities to score."""
    given: tuple[str, ...] = ()
    """The modalities to condition on; by default none."""
    proposal: tuple[str, ...] | None = None
    """The modalities to infer z from; by default the targets and the given. An empty list is the prior."""

    def check(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` if a name is not a modality, there is no target, or a target is also given."""
        super().check(names)
        Entry(target=self.target, given=self.proposal or ()).check(names)
        if both := [name for name in self.target if name in self.given]:
            raise ValueError(f"entries name {both[0]!r} as target and as given; leave it out of one of them")

    def ordered(self, names: Sequence[str]) -> Self:
        """The same entry in schema order, with its proposal."""
        proposal = (*self.target, *self.given) if self.proposal is None else self.proposal
        return super().ordered(names).model_copy(update={"proposal": all_in_order(proposal, names)})

    def cannot(self, model: Network) -> str:
        """Why a model cannot be scored by it; empty if it can."""
        modelled = [name for name in self.given if name not in model.conditions]
        return (
            unseen([*self.target, *self.given, *(self.proposal or ())], model)
            or undecoded([*self.target, *modelled], model)
            or unconditioned(self.given, model)
            or uninferred(self.proposal or (), model)
        )

    def __str__(self) -> str:
        """`log p(image | label), z from image`."""
        given = f" | {', '.join(self.given)}" if self.given else ""
        return f"log p({', '.join(self.target)}{given}), z from {', '.join(self.proposal or ()) or 'the prior'}"


class LogLikelihood(EntryEvaluator[LikelihoodEntry]):
    """Log p(target | given) in nats, by importance sampling with z ~ q(z | proposal) (Wu & Goodman 2018, section 5).

    log p(target) is the logarithm of the mean of p(target | z) p(z) / q(z | proposal) over draws of z, on average a
    lower bound. log p(target | given) is log p(target, given) minus an estimate of log p(given). If the model decodes
    given conditions, so does the score. Entries with the same proposal share their draws.

    With `refine`, each entry has a second result, by proposals that gradient steps fit to each row: a Gaussian that
    starts at the point and the variance of q and raises the row's bound (Kim et al. 2018).

    The default entries are log p(x), log p(x, y) and log p(x | y) under q(z | x) and q(z | x, y), where x is the first
    modality that the model decodes and y are the others.

    A row counts if it has any target, any of the given if there are some, and all conditions of the model. Its missing
    modalities are left out. `incomplete` counts such rows, and rows that lack a part of the proposal. A note warns if
    the effective sample size is too small to trust the estimate.
    """

    kind: Literal["log_likelihood"] = "log_likelihood"

    entries: tuple[LikelihoodEntry, ...] | None = None
    """The entries to score, each {target: [...], given: [...], proposal: [...]}; by default those that the model can
    give."""
    samples: PositiveInt = 1000
    """K, draws of z a row."""
    marginal: Literal["auto", "prior", "posterior"] = "auto"
    """The distribution of z in the estimate of log p(given): the prior, or the posterior q(z | given). `auto` is the
    prior if the given have at most 64 numbers in all, else the posterior."""
    prior_samples: PositiveInt = 5000
    """Draws from the prior for log p(given). Rows with the same given share an estimate."""
    refine: NonNegativeInt = 0
    """Steps of Adam that fit the proposal to each row, for a second result of each entry; 50 usually do. By default
    none."""
    rows: PositiveInt | None = None
    """Rows of the split to score, drawn at random if it has more; by default all."""
    memory: PositiveInt | None = None
    """MiB that decoding may use at once; by default 16 on a CPU, so that it fits the caches, and 1,024 on a GPU. The
    draws depend on it, because it sets their chunks."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """An instance with few draws."""
        return (cls(samples=20, prior_samples=50),)

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result for each entry; with `refine` two, of which the second is by refined proposals.

        {target, given, proposal, refine, better, value, stderr, log_weight_variance, ess, examples, samples, marginal,
        marginal_ess, incomplete}: means over rows. Only a second result has `refine`, its steps. `marginal` names the
        distribution of z for log p(given); it is null if no log p(given) is subtracted.
        """
        entries, notes = self.chosen(_default_entries(run.model), run.model)
        notes = self.unmodelled_notes(run) + notes
        plans = [self._plan(entry, run.model) for entry in entries]
        memory = MEMORY[run.device.type] if self.memory is None else self.memory * 2**20
        priors = _Priors(run.model, self.prior_samples, run.generator, memory)
        # Each has a generator of its own, so that refinement changes nothing in the figures without it.
        figures = [
            _Figures(run.model, plans, steps, self.samples, priors, run.generator, memory)
            for steps in dict.fromkeys((0, self.refine))
        ]
        incomplete = [0] * len(plans)
        parts, note = self._rows(run, split)
        for batch in metered_batches(run, split, self.kind, parts):
            rows = []
            for place, plan in enumerate(plans):
                scored, partial = scored_rows(batch, plan.entry, run.model.conditions)
                incomplete[place] += int((partial | (scored & ~_has_all(batch, plan.proposal))).sum())
                rows.append(scored.nonzero().squeeze(1))
            for of_steps in figures:
                of_steps.update(batch, rows)
        results, shares = [], []
        for place, (plan, lacking) in enumerate(zip(plans, incomplete, strict=True)):
            sampling = {"samples": self.samples, "marginal": plan.marginal, "incomplete": lacking}
            for of_steps in figures:
                scores = of_steps.means[place].compute()
                shares.append(scores.pop("poor") or 0.0)
                refined = {"refine": of_steps.steps} if of_steps.steps else {}
                named = {"proposal": list(plan.proposal), **refined, "better": "high"}
                results.append(described(plan.entry, **named, **scores, **sampling))
        return Scores(results, notes=notes + note + _doubts(results, shares, self.refine))

    def _rows(self, run: Run, split: str) -> tuple[Sequence[Tensor] | None, list[str]]:
        """The rows of each batch, None for all of the split; and a note if some are left out."""
        count = len(run.present[split])
        if self.rows is None or self.rows >= count:
            return None, []
        drawn = some_rows(torch.arange(count), self.rows, "likelihood rows", split, run.generator.initial_seed())
        note = f"{self.rows:,} of {count:,} rows were scored, drawn at random; raise rows for more"
        return drawn.split(_BATCH_ROWS), [note]

    def cannot(self, entry: LikelihoodEntry, model: Network) -> str:
        """Why a model cannot be scored by an entry; empty if it can."""
        if fault := priorless(model) or super().cannot(entry, model):
            return fault
        if self.marginal != "posterior" or set(entry.given) <= set(model.conditions):
            return ""
        fault = uninferred(entry.given, model)
        return f"{fault}, but marginal: posterior needs it" if fault else ""

    def _plan(self, entry: LikelihoodEntry, model: Network) -> _Plan:
        given = tuple(name for name in entry.given if name not in model.conditions)
        marginal: Literal["prior", "posterior"] | None = None
        if given:
            numbers = sum(math.prod(model.modalities[name].event_shape()) for name in given)
            few = numbers <= _MOST_NUMBERS or not model.supports(entry.given)
            marginal = ("prior" if few else "posterior") if self.marginal == "auto" else self.marginal
        joint = in_order({*entry.target, *given}, tuple(model.modalities))
        return _Plan(entry, entry.proposal or (), joint, given, marginal)


class _Plan(NamedTuple):
    """How to score an entry."""

    entry: LikelihoodEntry
    proposal: Names
    joint: Names  # the targets and the given, without conditions of the model
    given: Names  # the given, without conditions of the model
    marginal: Literal["prior", "posterior"] | None


def _sets_by_proposal(plans: Sequence[_Plan]) -> dict[Names, list[Names]]:
    """Proposal -> the distinct sets to score with its draws."""
    by_proposal: dict[Names, dict[Names, None]] = {}
    for plan in plans:
        by_proposal.setdefault(plan.proposal, {})[plan.joint] = None
        if plan.marginal == "posterior":
            by_proposal.setdefault(plan.entry.given, {})[plan.given] = None
    return {proposal: list(sets) for proposal, sets in by_proposal.items()}


def _has_all(batch: Batch, names: Names) -> Tensor:
    """Which rows have all of the named modalities: (B,) bool, on the host."""
    return batch.present[:, [batch.names.index(name) for name in names]].all(1)


class _Figures:
    """The scores of all plans by proposals that are refined in so many steps.

    Args:
        model: in evaluation mode.
        plans: how to score each entry.
        steps: of refinement; 0 for the proposals as they are.
        samples: K.
        priors: estimates of log p(given) by draws from the prior, to which no proposal matters.
        generator: of the draws.
        memory: bytes to use at once.
    """

    def __init__(
        self,
        model: Network,
        plans: Sequence[_Plan],
        steps: int,
        samples: int,
        priors: _Priors,
        generator: torch.Generator,
        memory: int,
    ) -> None:
        self.model, self.plans, self.steps, self.samples = model, plans, steps, samples
        self.priors, self.generator, self.memory = priors, generator, memory
        self.sets = _sets_by_proposal(plans)
        draws = {None: 0, "prior": priors.samples, "posterior": samples}
        self.means = [MeanEstimate(samples, draws[plan.marginal]) for plan in plans]

    def update(self, batch: Batch, rows: Sequence[Tensor]) -> None:
        """Add a batch, of which each plan scores the rows at some places."""
        estimates = {proposal: self._estimates(batch, proposal, sets) for proposal, sets in self.sets.items()}
        for plan, mean, scored in zip(self.plans, self.means, rows, strict=True):
            marginal = None
            if plan.marginal == "prior" and len(scored):
                marginal = self.priors.estimate(batch.take(scored), plan.given)
            elif plan.marginal == "posterior":
                marginal = estimates[plan.entry.given][plan.given].take(scored)
            mean.update(estimates[plan.proposal][plan.joint].take(scored), marginal)

    def _estimates(self, batch: Batch, proposal: Names, sets: Sequence[Names]) -> dict[Names, Estimate]:
        of_sets = estimate(self.model, batch, proposal, sets, self.samples, self.generator, self.memory, self.steps)
        return dict(zip(sets, of_sets, strict=True))


class _Priors:
    """Estimates of log p(given) by draws from the prior; rows with the same given share one."""

    def __init__(self, model: Network, samples: int, generator: torch.Generator, memory: int) -> None:
        self.model, self.samples, self.generator, self.memory = model, samples, generator, memory
        self.known: dict[tuple[Names, bytes], Estimate] = {}

    def estimate(self, batch: Batch, given: Names) -> Estimate:
        """The estimate of each row of a batch: (B,)."""
        keys = [(given, key) for key in _row_keys(batch, (*given, *self.model.conditions))]
        new = {key: row for row, key in enumerate(keys) if key not in self.known}
        if new:
            rows = torch.tensor(list(new.values()))
            order = rows.argsort()
            new_rows = batch.take(rows[order])
            [prior] = estimate(self.model, new_rows, (), [given], self.samples, self.generator, self.memory)
            self.known.update((keys[row], one) for row, one in zip(rows[order].tolist(), prior.rows(), strict=True))
        return Estimate.joined([self.known[key] for key in keys])


def _row_keys(batch: Batch, names: Sequence[str]) -> list[bytes]:
    """A key for each row's values of some modalities, equal for equal values: (B,)."""
    keys = [b""] * batch.size
    for name in names:
        values = batch.value(name).cpu()
        cells = dict(zip(batch.rows(name).tolist(), values.reshape(len(values), -1).numpy(), strict=True))
        keys = [key + (b"1" + cells[row].tobytes() if row in cells else b"0") for row, key in enumerate(keys)]
    return keys


def _doubts(results: Sequence[dict[str, Any]], shares: Sequence[float], steps: int) -> list[str]:
    """A note on results that a few draws dominate in many rows; `shares` has the share of such rows for each."""
    doubtful = {entry_name(result): share for result, share in zip(results, shares, strict=True) if share > _MANY}
    if not doubtful:
        return []
    which = "all" if len(doubtful) == len(results) else "; ".join(doubtful)
    least, most = (f"{share(doubtful.values()):.0%}" for share in (min, max))
    rows = least if least == most else f"{least} to {most}"
    remedy = "more steps of refine" if steps else f"refine: {_USUAL_STEPS}, which fits the proposal to each row"
    return [
        f"effective sample size under {FEW} in {rows} of the rows ({which}): the values are bounds rather than "
        f"estimates; use more samples or {remedy}"
    ]


def _default_entries(model: Network) -> list[LikelihoodEntry]:
    """The entries of Tables 2 and 3 of Wu & Goodman 2018: x, (x, y), x given y, under q(z | x) and q(z | x, y)."""
    x, y = model.targets[:1], tuple(name for name in model.modalities if name not in model.targets[:1])
    sets = [(x, ()), (x + y, ()), (x, y)] if y else [(x, ())]
    return [
        LikelihoodEntry(target=target, given=given, proposal=proposal)
        for proposal in ([x, x + y] if y else [x])
        for target, given in sets
    ]
