"""The base class of modalities of one of K classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from pydantic import field_validator
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmt_attributes.classes import ClassNames, classes_of, counted, distinct, fault_of, shown
from mmt_attributes.spellings import Spellings, beside, own_style
from mmtoolkit import (
    MLP,
    Architecture,
    Better,
    Cells,
    Classes,
    ColumnSummary,
    Faults,
    Form,
    Likelihood,
    Parsed,
    Part,
    Parted,
)

if TYPE_CHECKING:
    from torchmetrics import Metric

_SHOWN = 12


class OneOfClasses(Parted):
    """The base class of modalities of one of K classes.

    A cell is the name of a class; numbers are names too. A cell that is not exactly a name may differ from one in
    spaces at the ends, doubled spaces, Unicode's form, or as 1.0 from 1, and in case where one name alone fits.
    """

    gives: ClassVar[type[Form]] = Classes
    called: ClassVar[str]
    """The modality in an error."""

    network: Part[Architecture] = MLP()
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood]
    """The distribution of the class given z."""
    classes: tuple[str, ...] | None = None
    """The names of the classes, in order. By default learned from the training cells."""

    @field_validator("classes", mode="before")
    @classmethod
    def _written(cls, classes: Any) -> Any:
        """YAML reads `[false, true]` as no words."""
        if not isinstance(classes, (list, tuple)):
            return classes
        return [str(name) if isinstance(name, bool) else name for name in classes]

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if classes is None:
            return None
        if len(classes) < 2:
            raise ValueError(f"{cls.called} needs two classes or more; name them, or remove the modality")
        if len(set(classes)) < len(classes):
            twice = next(name for name in classes if classes.count(name) > 1)
            raise ValueError(f"the class {twice!r} is named twice; name each once")
        return classes

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
        """Learn the classes: numbers in order of size, words in that of the alphabet."""
        if self.classes is not None:
            return self
        spellings = Spellings()
        for cells in chunks:
            spellings.add(counted(cells))
        names = self.ordered(list(spellings.classes))
        if not names and spellings.fault:
            raise ValueError(f"no cell can be read; first, {spellings.fault}")
        if len(names) == 1:
            raise ValueError(
                f"the one class is {shown(names[0])}, and {self.called} needs two classes or more; name them, or "
                "remove the modality"
            )
        return self.with_options(classes=tuple(names))

    def ordered(self, names: list[str]) -> list[str]:
        """The classes that were learned, numbers by size and words by the alphabet, in the order to keep. Default: so.

        Raises:
            ValueError: they cannot be ordered.
        """
        return names

    def fixed_cells(self) -> Sequence[str]:
        """The classes."""
        return self.classes or ()

    def layout(self) -> dict[str, Any]:
        """With what a number stands for."""
        return {"values": "the place of the class among `classes`, from 0", **super().layout()}

    def example_cells(self) -> Cells:
        """The classes."""
        return list(self.classes or ("cat", "dog", "owl"))

    def event_shape(self) -> tuple[int, ...]:
        """A single number: ()."""
        return ()

    def parse(self, cell: Any) -> Tensor:
        """The place of the class among the classes, int64."""
        parsed = self.parse_column([cell])
        if parsed.faults:
            raise ValueError(parsed.faults[0])
        if not parsed.present[0]:
            raise ValueError("nothing of it is known; give a value, or leave the cell empty")
        return parsed.stored[0]

    def parse_column(self, cells: Cells) -> Parsed:
        """Look each distinct cell up once. NaN counts as missing."""
        known, places = distinct(cells)
        classes = torch.from_numpy(np.append(self._classes.places(known), -1)[places])  # the last, where place is -1
        faulty = np.flatnonzero((classes.numpy() < 0) & (places >= 0))
        faults = Faults({row: known[places[row]] for row in faulty.tolist()}, self._stranger)
        return Parsed(classes.clamp(min=0), classes >= 0, faults)

    @property
    def _classes(self) -> ClassNames:
        return classes_of(self.names)

    def _stranger(self, cell: Any) -> str:
        if fault := fault_of(cell):
            return fault
        name = str(cell)
        close = get_close_matches(name, self.names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        listed = ", ".join(self.names[:_SHOWN]) + (", …" if len(self.names) > _SHOWN else "")
        return f"{shown(name)} is none of the {len(self.names)} classes{hint}; the classes are {listed}"

    def style(self, column: ColumnSummary) -> Callable[[Any], Any]:
        """As the column most often spells the class; a whole number that it lacks, as it writes whole numbers."""
        return own_style(column, self._classes.place, lambda name, cell: (beside(name, cell),))

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

    def form(self) -> Form:
        """K classes."""
        return Classes(len(self.names))

    @property
    def condition_size(self) -> int:
        """K."""
        return len(self.names)

    def condition(self, x: Tensor) -> Tensor:
        """One-hot (N, K)."""
        return nn.functional.one_hot(x, len(self.names)).float()

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
        by_class = {f"p_{which}": probability for which, probability in zip(self.names, probabilities, strict=True)}
        return {self.source_columns(name)[0]: by_class}

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
