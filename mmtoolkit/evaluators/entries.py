"""Which target from which given: what the entries of evaluators have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from mmtoolkit.batch import Batch
from mmtoolkit.components import Evaluator, Network
from mmtoolkit.errors import UserError
from mmtoolkit.subsets import supports


class Entry(BaseModel):
    """One score: of the targets, z inferred from the given; both lists of modalities in schema order."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    target: tuple[str, ...]
    """What is scored."""
    given: tuple[str, ...] = ()
    """What z is inferred from; nothing, the prior, where left out."""

    def check(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` where it names what is no modality, or no target."""
        for name in (*self.target, *self.given):
            if name not in names:
                raise ValueError(f"entries name {name!r}, which is no modality; the modalities are {', '.join(names)}")
        if not self.target:
            raise ValueError(f"an entry has no target; name one of {', '.join(names)}")

    def ordered(self, names: Sequence[str]) -> Entry:
        """The same entry in schema order."""
        return Entry(
            target=tuple(n for n in names if n in self.target),
            given=tuple(n for n in names if n in self.given),
        )


class EntryEvaluator(Evaluator):
    """An evaluator whose options name what it scores."""

    entries: tuple[Entry, ...] | None = None
    """What to score, each {target: [...], given: [...]}; the default entries that the model can give where left out."""

    unsupported: Literal["error", "leave_out"] = "error"
    """What becomes of an entry that the model cannot give: an error, or it is left out and named. Default entries that
    it cannot give are always left out."""

    def check(self, names: Sequence[str]) -> None:
        """Whether the entries name modalities."""
        for entry in self.entries or ():
            entry.check(names)

    def check_model(self, model: Network) -> None:
        """Whether the model can give the entries."""
        if self.unsupported == "leave_out":
            return
        faults = [
            f"evaluate, {self.kind}: {_named(entry)}: {fault}; change or remove this entry"
            for entry in self.entries or ()
            if (fault := cannot(entry, model))
        ]
        if faults:
            raise UserError(faults)

    def chosen(self, default: Iterable[Entry], model: Network) -> tuple[list[Entry], list[str]]:
        """The entries to score, in schema order, and a note for each that is left out."""
        wanted = default if self.entries is None else self.entries
        kept, notes = [], []
        for entry in dict.fromkeys(entry.ordered(tuple(model.modalities)) for entry in wanted):
            if fault := cannot(entry, model):
                notes.append(f"left out: {_named(entry)}: {fault}")
            else:
                kept.append(entry)
        return kept, notes


def _named(entry: Entry) -> str:
    return f"{', '.join(entry.target)} from {', '.join(entry.given) or 'nothing'}"


def cannot(entry: Entry, model: Network) -> str:
    """Why a model cannot give an entry; nothing where it can."""
    if stranger := [name for name in entry.target if name not in model.targets]:
        return f"the model does not decode {', '.join(stranger)}"
    if not supports(model.subsets(), entry.given):
        return f"the model does not infer z from {', '.join(entry.given)} {'together' if entry.given[1:] else 'alone'}"
    if unmet := [name for name in model.conditions if name not in entry.given]:
        return f"the model decodes given {', '.join(unmet)} only"
    return ""


def scored_rows(batch: Batch, entry: Entry, conditions: Collection[str] = ()) -> tuple[Tensor, Tensor]:
    """Which rows an entry scores: those with any target, any of the given if any is, and all of the conditions.

    Returns:
        (B,) bool, and of those the rows that lack some of the targets or of the given: (B,) bool. On the host.
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
