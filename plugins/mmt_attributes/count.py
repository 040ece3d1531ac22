"""The count modality: how often something happened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

from torch import Tensor
from torch.distributions import Distribution

from mmt_attributes.proposals import count_proposal, marks_of
from mmt_attributes.standardised import StandardisedNumbers
from mmtoolkit import Cells, ColumnSummary, Likelihood, NegativeBinomialLikelihood, Part, Proposal, Support


class Count(StandardisedNumbers):
    """How often something happened: a whole number from 0 on.

    A cell is a whole number, or text that reads as one. The networks read standardised logarithms of 1 + count; the
    likelihood is a probability of the count itself, so that log-likelihoods are comparable whatever you count.
    """

    kind: Literal["count"] = "count"
    columns: ClassVar[None] = None  # type: ignore[misc]  # it is one number, so this is no option

    likelihood: Part[Likelihood] = NegativeBinomialLikelihood()
    """The distribution of a count given z: one of whole numbers, such as poisson."""

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of small whole numbers, of which some are 0 and a few are large."""
        marks = marks_of(column)
        return count_proposal(cls(decimal=marks.decimal, thousands=marks.thousands), column, marks)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One with the default options, and one with marks in texts."""
        return cls(), cls(decimal=",", thousands=".")

    @property
    def support(self) -> Support:
        """Whole numbers from 0 on."""
        return "whole"

    def outside(self, cell: Any) -> str:
        """It is negative, or has a fraction."""
        return (
            f"{cell!r} is no count; write 0 or a positive whole number, leave the cell empty, or use kind: numeric for "
            "numbers that are measured"
        )

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn mean and standard deviation of the logarithms of 1 + count."""
        if self.mean is not None and self.std is not None:
            return self
        mean, std = self.learned(chunks)
        return self.with_options(mean=mean, std=std)

    def entry(self, number: float, place: int) -> int:
        """The count."""
        return round(number)

    def decimals_of_fills(self, place: int) -> int:
        """0."""
        return 0

    def point(self, p: Distribution) -> Tensor:
        """The mean, rounded (N,): of all whole numbers it has the least expected squared error."""
        return p.mean.round()

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The mean over all draws, rounded (N,)."""
        mean: Tensor = p.mean.unflatten(0, (draws, -1)).mean(0)
        return mean.round()

    def effect(self, p: Distribution, without: Distribution, draws: int) -> Tensor:
        """The change of the mean, which is not rounded here."""
        change: Tensor = (p.mean.double() - without.mean.double()).unflatten(0, (draws, -1)).mean(0)
        return change

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The mean, rounded: ()."""
        return super().baseline(chunks).round()
