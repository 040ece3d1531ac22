"""The ordinal modality: one of K classes that have an order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from mmt_attributes.classes import shown
from mmt_attributes.one_of_classes import OneOfClasses
from mmt_attributes.ordinal_proposal import ordinal_proposal
from mmt_attributes.spellings import Spellings
from mmtoolkit import Better, ColumnSummary, Likelihood, OrdinalLikelihood, Part, Proposal


class Ordinal(OneOfClasses):
    """One of K classes that have an order, such as grades from bad to good.

    Cells are those of a label. List the classes in their order; if all are numbers, they may be learned, by size.
    """

    kind: Literal["ordinal"] = "ordinal"
    called: ClassVar[str] = "an ordinal modality"

    likelihood: Part[Likelihood] = OrdinalLikelihood()
    """The distribution of the class given z."""
    classes: tuple[str, ...] | None = None
    """The names of the classes, from the lowest to the highest. By default learned from the training cells, if all of
    these are numbers; words have no order of their own."""

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read words of a known scale, and small whole numbers under a name that says that they rate."""
        spellings = Spellings()
        spellings.add(zip(column.cells, column.counts, strict=True))
        return ordinal_proposal(column, spellings)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Words in an order, and numbers whose order is learned."""
        return cls(classes=("never", "sometimes", "often", "always")), cls()

    def example_cells(self) -> list[str]:
        """The classes."""
        return list(self.classes or ("1", "2", "10"))

    def ordered(self, names: list[str]) -> list[str]:
        """Numbers by size."""
        words = [name for name in names if _number(name) is None]
        if words:
            raise ValueError(
                f"the order of the classes is not plain, since {shown(words[0])} is no number; list them from the "
                f"lowest to the highest, as classes: [{', '.join(names[:3])}{', …' if len(names) > 3 else ''}], or use "
                "kind: label"
            )
        return sorted(names, key=float)

    # Networks.

    @property
    def condition_size(self) -> int:
        """K - 1."""
        return len(self.names) - 1

    def condition(self, x: Tensor) -> Tensor:
        """1 for each class below that of the row, and 0 for the others (N, K - 1): classes that are near look alike."""
        steps = torch.arange(len(self.names) - 1, device=x.device)
        return (x.unsqueeze(1) > steps).float()

    # Scores.

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The accuracy, and how many ranks the class is off."""
        return {**super().scores(point, x), "rank_error": (point - x).abs().float()}

    def better(self) -> dict[str, Better]:
        """An accuracy is better high, an error low."""
        return {**super().better(), "rank_error": "low"}


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None
