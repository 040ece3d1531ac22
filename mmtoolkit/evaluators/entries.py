"""Which target from which given: what the entries of evaluators have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from mmtoolkit.batch import Batch
from mmtoolkit.components import Evaluator, Network
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

    def check(self, names: Sequence[str]) -> None:
        """Whether the entries name modalities."""
        for entry in self.entries or ():
            entry.check(names)

    def chosen(self, default: Iterable[Entry], model: Network) -> tuple[list[Entry], list[str]]:
        """The entries to score, in schema order, and a note for each default one that the model cannot give."""
        if self.entries is None:
            return supported(default, model)
        return [entry.ordered(tuple(model.modalities)) for entry in self.entries], []


def supported(entries: Iterable[Entry], model: Network) -> tuple[list[Entry], list[str]]:
    """The entries whose given set the model can infer z from, and a note for each other one."""
    subsets = model.subsets()
    kept, notes = [], []
    for entry in entries:
        if supports(subsets, entry.given):
            kept.append(entry)
        else:
            notes.append(
                f"left out: {', '.join(entry.target)} given {', '.join(entry.given)}: the model cannot infer it"
            )
    return kept, notes


def scored_rows(batch: Batch, entry: Entry) -> tuple[Tensor, Tensor]:
    """Which rows an entry scores: those with any target and, where something is given, any of the given.

    Returns:
        (B,) bool, and of those the rows that lack some of the targets or of the given: (B,) bool. On the host.
    """
    places = {name: place for place, name in enumerate(batch.names)}
    target = batch.present[:, [places[name] for name in entry.target]]
    given = batch.present[:, [places[name] for name in entry.given]]
    scored = target.any(1)
    if entry.given:
        scored &= given.any(1)
    return scored, scored & ~(target.all(1) & given.all(1))


def described(entry: Entry, **scores: Any) -> dict[str, Any]:
    """An entry's result as plain data."""
    return {"target": list(entry.target), "given": list(entry.given), **scores}
