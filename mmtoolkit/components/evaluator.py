"""The base class of evaluators, and what one is handed and gives back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from mmtoolkit.components.component import Component
from mmtoolkit.components.modality import Modality
from mmtoolkit.components.network import Network
from mmtoolkit.components.picture import Picture
from mmtoolkit.components.source import Source
from mmtoolkit.core.batch import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(Protocol):
    """A trained run, as an evaluator sees it."""

    @property
    def modalities(self) -> Mapping[str, Modality]:
        """The modalities in schema order."""

    @property
    def model(self) -> Network:
        """The trained networks, in evaluation mode."""

    @property
    def source(self) -> Source:
        """Where its data came from; reading it again is for nobody but the run."""

    @property
    def baselines(self) -> Mapping[str, Tensor]:
        """For each modality the training mean or mode (*event)."""

    @property
    def generator(self) -> torch.Generator:
        """The source of an evaluator's randomness, on `device`, seeded the same each time."""

    @property
    def device(self) -> torch.device:
        """Where the model lies."""

    @property
    def folder(self) -> Path:
        """The run folder."""

    @property
    def say(self) -> Callable[[str], None]:
        """Tells the user a line at once, such as how far a long evaluation has come."""

    @property
    def present(self) -> Mapping[str, Tensor]:
        """For each split which rows have which modality: (N, M) bool, in schema order, on the host.

        Of the training split it is what weak supervision leaves.
        """

    def batches(self, split: str, rows: Iterable[Tensor] | None = None, redraw: bool = False) -> Iterator[Batch]:
        """Rows of a split, on `device`.

        Args:
            split: its name.
            rows: those of each batch, (B,) int64, on the host; all in order, some hundreds a batch, where left out.
            redraw: whether modalities that draw anew in training do so, from PyTorch's default generator.

        Raises:
            UserError: there is no such split.
        """


@dataclass(frozen=True)
class Scores:
    """What an evaluator gives.

    Attributes:
        results: entries of plain data.
        figures: pictures, or name -> figure where the names say enough.
        notes: what the user should know, a line each.
    """

    results: list[dict[str, Any]]
    figures: Sequence[Picture] | Mapping[str, Figure] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The figures as pictures: one that has a name alone has it for its title."""
        if isinstance(self.figures, Mapping):
            return tuple(Picture(name, name, "", figure) for name, figure in self.figures.items())
        return tuple(self.figures)


class Evaluator(Component):
    """Scores a trained run on a split."""

    family: ClassVar[str] = "evaluator"

    def check(self, names: Sequence[str]) -> None:
        """Look, before anything is trained, whether the options fit modalities of these names, in schema order.

        Raises:
            ValueError: what does not fit, and what to do.
        """

    def check_model(self, model: Network) -> None:
        """Look, before the model is trained, whether it can give what the options ask for.

        Raises:
            UserError: what it cannot, and what to do.
        """

    @abstractmethod
    def evaluate(self, run: Run, split: str) -> Scores:
        """The scores of the run on a split of its data.

        Each result is plain data: `target` and `given`, lists of modalities; `value`, a number or None; and `better`,
        `high` or `low`, or None where neither is better or nobody knows. A number that is not finite is kept as null.

        Raises:
            UserError: an option asks for what the run cannot give.
        """
