"""The attributes modality: K binary attributes together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import model_validator
from torch import Tensor, nn
from torch.distributions import Distribution

from mmt_attributes.yes_no import YesNo
from mmtoolkit import MLP, Architecture, Cells, Entries, Form, Numbers, Part


class Attributes(YesNo):
    """K binary attributes, each from a column of its own, with a Bernoulli likelihood each.

    A cell maps columns to no or yes. Some attributes may be unknown; if all are, the cell is missing. The networks are
    those of the attributes of CelebA in Wu & Goodman 2018, section 4.1.
    """

    kind: Literal["attributes"] = "attributes"
    gives: ClassVar[type[Form]] = Numbers

    network: Part[Architecture] = MLP(norm="batch")
    """The architecture of encoder and decoder. By default an MLP with batch normalisation, of 377,032 parameters for 18
    attributes and 100 latent variables."""

    @model_validator(mode="after")
    def _has_columns(self) -> Self:
        if self.columns is None:
            raise ValueError("attributes needs columns; name them, as columns: [Male, Smiling], or use kind: binary")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attributes, which are those of the columns."""
        assert self.columns is not None
        return self.columns

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Three attributes."""
        return (cls(columns=("Bald", "Male", "Smiling")),)

    def example_cells(self) -> Cells:
        """Rows; some lack one attribute."""
        no, yes = self.values or ("no", "yes")
        first, *rest = self.names
        whole = [dict.fromkeys(self.names, no), dict.fromkeys(self.names, yes), {first: no, **dict.fromkeys(rest, yes)}]
        return [*whole, {first: yes}, *([dict.fromkeys(rest, no)] if rest else [])]

    # Networks and scores.

    def form(self) -> Form:
        """K numbers from 0 to 1; the network reads an unknown one as a third value."""
        return Numbers(self.size, support="unit")

    def reader(self) -> nn.Module:
        """Signs: 1 for yes, -1 for no, 0 if unknown."""
        return _Signs(self)

    def probabilities(self, p: Distribution) -> Tensor:
        """Those of the base distribution, which does not say which attributes are known: (N, K)."""
        assert isinstance(p, Entries)
        return p.base.mean

    def text(self, value: Tensor) -> str:
        """The names of the attributes that a value has."""
        on = (value > 0.5).all(0).tolist()  # yes, and known
        return ", ".join(name for name, shown in zip(self.names, on, strict=True) if shown) or "none"


class _Signs(nn.Module):
    """`signs` as a layer."""

    def __init__(self, modality: Attributes) -> None:
        super().__init__()
        self.signs = modality.signs

    def forward(self, x: Tensor) -> Tensor:
        """From (N, 2, K) to (N, K)."""
        return self.signs(x)
