"""The binary modality: one attribute that is yes or no."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.distributions import Distribution

from mmt_attributes.classes import word
from mmt_attributes.spellings import joined_notes
from mmt_attributes.yes_no import YesNo
from mmt_attributes.yes_no_words import ordered
from mmtoolkit import Cells, Classes, ColumnSummary, Form, Proposal


class Binary(YesNo):
    """One attribute that is yes or no, with its own expert and a Bernoulli likelihood.

    With `each`, you get many of them, like the attributes of CelebA in the MVAE19 of Wu & Goodman 2018, section 5. The
    networks have no batch normalisation: under weak supervision a step often has one row of a modality.
    """

    kind: Literal["binary"] = "binary"
    gives: ClassVar[type[Form]] = Classes

    columns: ClassVar[None] = None  # type: ignore[misc]  # it is one number, so this is no option

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column with two usual words for no and yes."""
        words: Counter[str] = Counter()
        for cell, count in zip(column.cells, column.counts, strict=True):
            words[word(cell)] += count
        if len({text.lower() for text in words}) != 2:
            return None
        try:
            no, yes = ordered(words)
        except ValueError:
            return None
        classes: dict[str, Counter[str]] = {no: Counter(), yes: Counter()}
        for cell, count in zip(column.cells, column.counts, strict=True):
            classes[yes if word(cell).lower() == yes.lower() else no][str(cell)] += count
        share = classes[yes].total() / column.counted
        about = "; ".join([f"{share:.0%} {yes}", *joined_notes(classes)])
        return Proposal(0.95, {"values": [no, yes]}, about, cost=0.4)

    def example_cells(self) -> Cells:
        """No and yes."""
        return list(self.values or ("no", "yes"))

    # Networks and scores.

    def form(self) -> Form:
        """Two classes, which the network embeds and the likelihood scores as 0 and 1."""
        return Classes(2, support="unit")

    def reader(self) -> nn.Module:
        """0 and 1 as classes."""
        return _Index()

    def joined(self, p: Distribution) -> Distribution:
        """The distribution itself, which is of single numbers: batch (N,)."""
        return p

    def probabilities(self, p: Distribution) -> Tensor:
        """The probability of yes (N, 1)."""
        return p.mean.unsqueeze(1)

    def text(self, value: Tensor) -> str:
        """`yes` or `no` if the data has usual words for them, such as 1 and 0; else the data's own words."""
        return ("no", "yes")[int(value > 0.5)] if self._words.usual else self.cell(value)

    def named(self, name: str, value: Tensor) -> str:
        """The name for yes and nothing for no, as in `attributes`."""
        if not self._words.usual:
            return super().named(name, value)
        return name if value > 0.5 else ""


class _Index(nn.Module):
    """0 and 1 as rows of an embedding."""

    def forward(self, x: Tensor) -> Tensor:
        """(N,), int64."""
        return (x > 0.5).long()
