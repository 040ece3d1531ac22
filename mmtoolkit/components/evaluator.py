"""The base class of evaluators, the run that they read and the scores that they return."""

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
        """The modalities in schema order. Those that the model sees are `model.modalities`."""

    @property
    def model(self) -> Network:
        """The trained networks, in evaluation mode."""

    @property
    def source(self) -> Source:
        """The source of its data. Use `batches` to read the data; do not load it again from here."""

    @property
    def baselines(self) -> Mapping[str, Tensor]:
        """The training mean or mode of each modality: (*event)."""

    @property
    def generator(self) -> torch.Generator:
        """The generator for all random draws of an evaluator, on `device`, with the same seed each time."""

    @property
    def device(self) -> torch.device:
        """The device of the model."""

    @property
    def folder(self) -> Path:
        """The run folder."""

    @property
    def say(self) -> Callable[[str], None]:
        """Prints a line for the user at once, such as the progress of a long evaluation."""

    @property
    def present(self) -> Mapping[str, Tensor]:
        """Which rows of each split have which of `modalities`: (N, M) bool, in schema order, on the host.

        In the training split, cells that weak supervision hides count as missing. `seen_by_model` has the columns of
        the modalities that the model sees.
        """

    def batches(self, split: str, rows: Iterable[Tensor] | None = None, redraw: bool = False) -> Iterator[Batch]:
        """Iterate over the rows of a split in batches, on `device`.

        Args:
            split: the name of the split.
            rows: the rows of each batch, (B,) int64, on the host. By default all rows in order, some hundreds a batch.
            redraw: whether modalities that draw new values in training do so here, from PyTorch's default generator.

        Raises:
            UserError: there is no such split.
        """


def seen_by_model(run: Run, split: str) -> Tensor:
    """Which rows of a split have which modality of the model, as its network takes it: (N, M) bool, on the host."""
    places = [place for place, name in enumerate(run.modalities) if name in run.model.modalities]
    return run.present[split][:, places]


def unmodelled_notes(run: Run) -> list[str]:
    """A note for each modality that the model does not see, and that an evaluator of the model so leaves out."""
    return [f"left out: {name}: it is not modelled" for name in run.modalities if name not in run.model.modalities]


@dataclass(frozen=True)
class Scores:
    """The result of an evaluator.

    Attributes:
        results: one dictionary of plain data for each score; see `Evaluator.evaluate`.
        figures: pictures, or name -> figure if the names are titles enough.
        notes: lines that the user should read.
    """

    results: list[dict[str, Any]]
    figures: Sequence[Picture] | Mapping[str, Figure] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The figures as pictures. A figure with only a name uses it as its title."""
        if isinstance(self.figures, Mapping):
            return tuple(Picture(name, name, "", figure) for name, figure in self.figures.items())
        return tuple(self.figures)


class Evaluator(Component):
    """The base class of evaluators, which score a trained run on one split of its data."""

    family: ClassVar[str] = "evaluator"

    def check(self, names: Sequence[str]) -> None:
        """Check, before training, that the options fit modalities of these names, in schema order.

        Raises:
            ValueError: they do not; the message states the fault and the remedy.
        """

    def check_modalities(self, modalities: Mapping[str, Modality]) -> None:
        """Check, before training, that the options fit the modalities, which have learned theirs from the data.

        Raises:
            UserError: they do not; the message states the fault and the remedy.
        """

    def check_model(self, model: Network) -> None:
        """Check, before training, that the model supports what the options ask for.

        Raises:
            UserError: it does not; the message states the fault and the remedy.
        """

    @abstractmethod
    def evaluate(self, run: Run, split: str) -> Scores:
        """Compute the scores of a run on a split of its data.

        Each result is plain data: `target` and `given`, lists of modalities; `value`, a number or None; and `better`,
        `high` or `low`, or None if neither is better or the direction is unknown. The results file stores numbers
        that are not finite as null.

        Raises:
            UserError: an option asks for a score that the run does not support.
        """
