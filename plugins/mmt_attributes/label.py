"""The label modality: one of K classes."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from pydantic import field_validator
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmt_attributes.mlp import WIDTH, Encoder, mlp
from mmt_attributes.proposals import label_proposal
from mmtoolkit import Better, Cells, ColumnSummary, Modality, Parsed, Proposal, at_least_float32

if TYPE_CHECKING:
    from torchmetrics import Metric

_SHOWN = 12


class Label(Modality):
    """One of K classes, with a categorical likelihood.

    A cell is the name of a class; numbers are names too. The networks are those of the labels of MNIST in Wu &
    Goodman 2018, section 4.1: an embedding of 512 and a two-layer MLP.
    """

    kind: Literal["label"] = "label"

    classes: tuple[str, ...] | None = None
    """The names of the classes, in order. By default learned from the training cells, and sorted."""

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if classes is None:
            return None
        if len(classes) < 2:
            raise ValueError("a label needs two classes or more; name them, or remove the modality")
        if len(set(classes)) < len(classes):
            twice = next(name for name in classes if classes.count(name) > 1)
            raise ValueError(f"the class {twice!r} is named twice; name each once")
        return classes

    @classmethod
    def propose(cls, column: ColumnSummary) -> Proposal | None:
        """Propose to read a column of few distinct cells. It lists all classes: training rows may lack a rare one."""
        return label_proposal(column, sorted({str(cell) for cell in column.cells}, key=_sort_key))

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, known or learned.

        Raises:
            ValueError: they are neither.
        """
        if self.classes is None:
            raise ValueError("the classes are not known yet; name them, or let `fit` learn them")
        return self.classes

    def fit(self, chunks: Iterable[Cells]) -> Self:
        """Learn the classes: all distinct cells, numbers in order of size, words in that of the alphabet."""
        if self.classes is not None:
            return self
        found: set[str] = set()
        for cells in chunks:
            found.update(map(str, np.unique(cells) if isinstance(cells, np.ndarray) else cells))
        return type(self).model_validate({**self.model_dump(), "classes": sorted(found, key=_sort_key)})

    def example_cells(self) -> Cells:
        """The classes."""
        return list(self.classes or ("cat", "dog", "owl"))

    def event_shape(self) -> tuple[int, ...]:
        """A single number: ()."""
        return ()

    def parse(self, cell: Any) -> Tensor:
        """The place of the class among the classes, int64."""
        name = _written(cell, self.names)
        if name not in self.names:
            raise ValueError(self._stranger(name))
        return torch.tensor(self.names.index(name))

    def parse_column(self, cells: Cells) -> Parsed:
        """Look each distinct cell up once."""
        places = {name: place for place, name in enumerate(self.names)}
        strings = [None if cell is None else _written(cell, places) for cell in cells]
        stored = torch.tensor([-1 if cell is None else places.get(cell, -1) for cell in strings])
        faults = {
            row: self._stranger(cell) for row, cell in enumerate(strings) if cell is not None and cell not in places
        }
        return Parsed(stored.clamp(min=0), stored >= 0, faults)

    def _stranger(self, name: str) -> str:
        close = get_close_matches(name, self.names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        shown = ", ".join(self.names[:_SHOWN]) + (", …" if len(self.names) > _SHOWN else "")
        return f"{name!r} is none of the {len(self.names)} classes{hint}; the classes are {shown}"

    def cell(self, value: Tensor) -> str:
        """The name of the class."""
        return self.names[int(value)]

    def shades(self, name: str, value: Tensor) -> dict[str, float | str]:
        """The class."""
        return {name: self.cell(value)}

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The most frequent class."""
        counts = torch.zeros(len(self.names), dtype=torch.int64)
        for x in chunks:
            counts += torch.bincount(x.cpu(), minlength=len(self.names))
        return counts.argmax()

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """An embedding and two layers (Wu & Goodman 2018, section 4.1)."""
        return Encoder(self.branch(WIDTH), width, extra)

    def branch(self, width: int) -> nn.Module:
        """The embedding alone."""
        return nn.Sequential(nn.Embedding(len(self.names), width), nn.SiLU())

    @property
    def condition_size(self) -> int:
        """K."""
        return len(self.names)

    def condition(self, x: Tensor) -> Tensor:
        """One-hot (N, K)."""
        return nn.functional.one_hot(x, len(self.names)).float()

    def decoder(self, size: int) -> nn.Module:
        """Three layers and a categorical likelihood."""
        return LabelDecoder(mlp(size, WIDTH, WIDTH, WIDTH, len(self.names)))

    def head(self, size: int) -> nn.Module:
        """One layer and a categorical likelihood: multinomial logistic regression."""
        return LabelDecoder(mlp(size, len(self.names)))

    def point(self, p: Distribution) -> Tensor:
        """The most probable class (N,)."""
        assert isinstance(p, distributions.Categorical)
        return p.logits.argmax(-1)

    def average(self, p: Distribution, draws: int) -> Tensor:
        """The probabilities of the classes, averaged over draws: (N, K)."""
        assert isinstance(p, distributions.Categorical)
        probabilities: Tensor = p.probs.unflatten(0, (draws, -1))
        return probabilities.mean(0)

    def pooled(self, p: Distribution, draws: int) -> Tensor:
        """The class that is most probable over all draws (N,)."""
        return self.average(p, draws).argmax(-1)

    def spread(self, name: str, p: Distribution, draws: int) -> Mapping[str, Mapping[str, Tensor]]:
        """`p_CLASS`: the probability of each class."""
        probabilities = self.average(p, draws).unbind(-1)
        told = {f"p_{which}": probability for which, probability in zip(self.names, probabilities, strict=True)}
        return {self.source_columns(name)[0]: told}

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The accuracy: 1 if the class is right, else 0."""
        return {"accuracy": (point == x).float()}

    def better(self) -> dict[str, Better]:
        """An accuracy is better high."""
        return {"accuracy": "high"}

    def metrics(self) -> dict[str, Metric]:
        """The expected calibration error over 15 bins (Guo et al. 2017)."""
        from mmt_attributes.calibration import ClassCalibrationError

        return {"calibration_error": ClassCalibrationError()}


def _written(cell: Any, classes: Container[str]) -> str:
    """The name of a class. 3.0 is the class 3 where it is none itself: whole numbers with holes are often floats."""
    name = str(cell)
    if name not in classes and isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        return str(int(cell))
    return name


def _sort_key(name: str) -> tuple[int, float, str]:
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    return (0, number, name) if math.isfinite(number) else (1, 0.0, name)  # nan has no order


class LabelDecoder(nn.Module):
    """From z (N, size) to a categorical distribution over the classes, by layers from z to their logits (N, K)."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N,), event ()."""
        return distributions.Categorical(logits=at_least_float32(self.layers(z)), validate_args=False)
