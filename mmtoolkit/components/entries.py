"""Which target from which given: what the entries of evaluators have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Evaluator, Network
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.subsets import supports


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

    def ordered(self, names: Sequence[str]) -> Self:
        """The same entry in schema order."""
        return self.model_copy(
            update={"target": in_order(self.target, names), "given": in_order(self.given, names)},
        )

    def cannot(self, model: Network) -> str:
        """Why a model cannot give it; nothing where it can."""
        return undecoded(self.target, model) or uninferred(self.given, model) or unconditioned(self.given, model)

    def __str__(self) -> str:
        """`label from image`."""
        return f"{', '.join(self.target)} from {', '.join(self.given) or 'nothing'}"


def in_order(chosen: Collection[str], names: Sequence[str]) -> tuple[str, ...]:
    """The chosen in schema order."""
    return tuple(name for name in names if name in chosen)


def undecoded(names: Sequence[str], model: Network) -> str:
    """Which of the names a model does not decode, in words; nothing where it decodes all."""
    strangers = [name for name in names if name not in model.targets]
    return f"the model does not decode {', '.join(strangers)}" if strangers else ""


def uninferred(names: Sequence[str], model: Network) -> str:
    """That a model does not infer z from the names, in words; nothing where it does."""
    if supports(model.subsets(), names):
        return ""
    return f"the model does not infer z from {', '.join(names)} {'together' if names[1:] else 'alone'}"


def unconditioned(given: Collection[str], model: Network) -> str:
    """What a model decodes given only, and is not given, in words; nothing where all is."""
    unmet = [name for name in model.conditions if name not in given]
    return f"the model decodes given {', '.join(unmet)} only" if unmet else ""


E = TypeVar("E", bound=Entry)


class EntryEvaluator(Evaluator, Generic[E]):
    """An evaluator whose options name what it scores."""

    entries: tuple[E, ...] | None = None
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
        """Why a model cannot give an entry; nothing where it can."""
        return entry.cannot(model)

    def chosen(self, default: Iterable[E], model: Network) -> tuple[list[E], list[str]]:
        """The entries to score, in schema order, and a note for each that is left out."""
        wanted = default if self.entries is None else self.entries
        kept, notes = [], []
        for entry in dict.fromkeys(entry.ordered(tuple(model.modalities)) for entry in wanted):
            if fault := self.cannot(entry, model):
                notes.append(f"left out: {entry}: {fault}")
            else:
                kept.append(entry)
        return kept, notes


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
