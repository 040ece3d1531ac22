"""The numeric modality: a real number, or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from mmt_attributes.proposals import marks_of, numeric_proposal
from mmt_attributes.spelling import decimals_of
from mmt_attributes.standardised import StandardisedNumbers
from mmtoolkit import Cells, ColumnSummary, Proposal, StudentTLikelihood, Support

_OUTSIDE: dict[Support, str] = {"positive": "not above 0", "unit": "not from 0 to 1"}
_EXAMPLES: dict[Support, tuple[float, float, float, float]] = {
    "positive": (1.0, 2.0, 3.0, 4.0),
    "unit": (0.0, 0.25, 0.5, 1.0),
}


class Numeric(StandardisedNumbers):
    """A real number, or with `columns` several, some possibly unknown, in your own units.

    A cell is a number, or text that reads as one; NaN is unknown. The networks read standardised numbers. The
    likelihood is that of the original numbers, so its log-density refers to your unit.
    """

    kind: Literal["numeric"] = "numeric"
    moved: ClassVar[Mapping[str, str]] = {"scale": "likelihood", "degrees": "likelihood"}

    decimals: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """How many decimals a predicted cell has, one each: whole numbers have 0. A table with known cells in the column
    overrides it. By default learned with `mean` and `std`; if you give both of these, cells are not rounded."""

    @model_validator(mode="after")
    def _decimals_are_consistent(self) -> Self:
        self._check_entries("decimals")
        return self

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of cells that read as numbers; with student_t if it has outliers.

        It is left out if its numbers only name rows, or if their marks stay open.
        """
        marks = marks_of(column)
        return numeric_proposal(cls(decimal=marks.decimal, thousands=marks.thousands), column, marks)

    # Data.

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A single number, several, and one with far outliers."""
        return cls(), cls(columns=("height", "weight")), cls(likelihood=StudentTLikelihood(scale=2.0))

    def example_numbers(self) -> Sequence[float]:
        """Four numbers that the likelihood scores."""
        return _EXAMPLES.get(self.support, super().example_numbers())

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn mean, standard deviation and decimals of each number from the cells that can be read.

        Mean and standard deviation are of what the likelihood reads. If it allows for outliers, they come from the
        middle half of the numbers: outliers would make all others look alike.
        """
        if self.mean is not None and self.std is not None:
            return self
        decimals = [0] * self.size

        def see(values: Tensor, known: Tensor) -> None:
            columns = zip(values.T.numpy(), known.T.numpy(), decimals, strict=True)
            decimals[:] = [decimals_of(column[there], least) for column, there, least in columns]

        mean, std = self.learned(chunks, see)
        return self.with_options(mean=mean, std=std, decimals=self.decimals or tuple(decimals))

    def entry(self, number: float, place: int) -> float:
        """The number."""
        return number

    def decimals_of_fills(self, place: int) -> int | None:
        """`decimals`; in runs of 0.1 they may be open."""
        return None if self.decimals is None else self.decimals[place]

    @property
    def support(self) -> Support:
        """Those that the likelihood scores, if it scores numbers on a scale."""
        support = self.likelihood.support
        return support if support in _OUTSIDE else "real"

    def outside(self, cell: Any) -> str:
        """Why the likelihood does not score it."""
        return (
            f"{cell!r} is {_OUTSIDE[self.support]}, which likelihood {self.likelihood.kind} needs; mend the cell, or "
            "choose gaussian or student_t"
        )
