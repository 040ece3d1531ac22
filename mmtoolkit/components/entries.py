"""The entries of evaluators: which target modalities to score, from which given ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import ConfigDict
from torch import Tensor

from mmtoolkit.base.described import Described
from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Evaluator, Network, Run
from mmtoolkit.components.evaluator import unmodelled_notes
from mmtoolkit.core.batch import Batch


class Entry(Described):
    """One score: infer z from the given modalities, score the targets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: tuple[str, ...]
    """The modalities to score."""
    given: tuple[str, ...] = ()
    """The modalities that z is inferred from. By default none: z comes from the prior."""

    def check(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` if the entry has no target or names a modality that is not among `names`."""
        for name in (*self.target, *self.given):
            if name not in names:
                raise ValueError(f"entries name {name!r}, which is no modality; the modalities are {', '.join(names)}")
        if not self.target:
            raise ValueError(f"an entry has no target; name one of {', '.join(names)}")

    def ordered(self, names: Sequence[str]) -> Self:
        """The same entry in schema order."""
        return self.model_copy(
            update={"target": all_in_order(self.target, names), "given": all_in_order(self.given, names)},
        )

    def cannot(self, model: Network) -> str:
        """Why a model cannot compute this score; empty if it can."""
        return (
            unseen((*self.target, *self.given), model)
            or undecoded(self.target, model)
            or uninferred(self.given, model)
            or unconditioned(self.given, model)
        )

    def __str__(self) -> str:
        """Such as `label from image`."""
        return f"{', '.join(self.target)} from {', '.join(self.given) or 'nothing'}"


def in_order(chosen: Collection[str], names: Sequence[str]) -> tuple[str, ...]:
    """The chosen names in schema order."""
    return tuple(name for name in names if name in chosen)


def all_in_order(chosen: Collection[str], names: Sequence[str]) -> tuple[str, ...]:
    """The chosen names in the order of `names`; those that are not among them come last."""
    return (*in_order(chosen, names), *(name for name in chosen if name not in names))


def unseen(names: Collection[str], model: Network) -> str:
    """A sentence on the names that are no modalities of a model, since `modelled` is false; empty if all are."""
    strangers = dict.fromkeys(name for name in names if name not in model.modalities)
    return f"{', '.join(strangers)} is not modelled" if strangers else ""


def undecoded(names: Sequence[str], model: Network) -> str:
    """A sentence on the names that a model does not decode; empty if it decodes all."""
    strangers = [name for name in names if name not in model.targets]
    return f"the model does not decode {', '.join(strangers)}" if strangers else ""


def uninferred(names: Sequence[str], model: Network) -> str:
    """A sentence if a model does not infer z from the names; empty if it does."""
    if model.supports(names):
        return ""
    if not names:
        return priorless(model)
    return f"the model does not infer z from {', '.join(names)} {'together' if names[1:] else 'alone'}"


def priorless(model: Network) -> str:
    """A sentence if a model has no p(z); empty if it has."""
    return "the model has no p(z)" if model.prior is None else ""


def unconditioned(given: Collection[str], model: Network) -> str:
    """A sentence on the modalities that a model must be given to decode and that are not given; empty if none."""
    unmet = [name for name in model.conditions if name not in given]
    return f"the model decodes given {', '.join(unmet)} only" if unmet else ""


E = TypeVar("E", bound=Entry)


class EntryEvaluator(Evaluator, Generic[E]):
    """An evaluator whose options list the scores to compute."""

    entries: tuple[E, ...] | None = None
    """What to score, each {target: [...], given: [...]}. By default all usual entries that the model supports."""

    unsupported: Literal["error", "leave_out"] = "error"
    """What to do with an entry that the model does not support: stop with an error, or leave it out with a note.
    Default entries that the model does not support are always left out."""

    def check(self, names: Sequence[str]) -> None:
        """Check that the entries name modalities of the schema."""
        for entry in self.entries or ():
            entry.check(names)

    def check_model(self, model: Network) -> None:
        """Check that the model supports the entries."""
        if self.unsupported == "leave_out" or self.entries is None:
            return
        names = tuple(model.modalities)
        faults = [
            f"evaluate, {self.kind}: {entry}: {fault}; change or remove this entry"
            for entry in (entry.ordered(names) for entry in self.entries)
            if (fault := self.cannot(entry, model))
        ]
        if faults:
            raise UserError(faults)

    def cannot(self, entry: E, model: Network) -> str:
        """Why a model cannot compute an entry; empty if it can."""
        return entry.cannot(model)

    def unmodelled_notes(self, run: Run) -> list[str]:
        """A note for each modality that the default entries leave out, since the model does not see it."""
        return [] if self.entries is not None else unmodelled_notes(run)

    def chosen(self, default: Iterable[E], model: Network) -> tuple[list[E], list[str]]:
        """The entries to score, each in schema order, and a note for each one left out."""
        candidates = default if self.entries is None else self.entries
        entries, notes = [], []
        for entry in dict.fromkeys(entry.ordered(tuple(model.modalities)) for entry in candidates):
            if fault := self.cannot(entry, model):
                notes.append(f"left out: {entry}: {fault}")
            else:
                entries.append(entry)
        return entries, notes


def scored_rows(batch: Batch, entry: Entry, conditions: Collection[str] = ()) -> tuple[Tensor, Tensor]:
    """Which rows of a batch an entry scores, and which of these are incomplete.

    A row is scored if it has at least one target, at least one given modality (if the entry has any), and all
    conditions. A scored row is incomplete if it lacks some target or some given modality.

    Returns:
        The scored rows and the incomplete ones: (B,) bool each, on the host.
    """
    places = {name: place for place, name in enumerate(batch.names)}
    target = batch.present[:, [places[name] for name in entry.target]]
    given = batch.present[:, [places[name] for name in entry.given]]
    scored = target.any(1)
    if entry.given:
        scored &= given.any(1)
    scored &= batch.present[:, [places[name] for name in conditions]].all(1)
    return scored, scored & ~(target.all(1) & given.all(1))


def described(entry: Entry, **scores: Any) -> dict[str, Any]:
    """An entry's result as plain data."""
    return {"target": list(entry.target), "given": list(entry.given), **scores}
