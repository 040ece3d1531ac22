"""Small modalities, rows and a run, with which the kit checks models and evaluators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Better, Columns, Modality, Network, Source, Table
from mmtoolkit.core.batch import Batch, Observed
from mmtoolkit.core.posterior import at_least_float32


class Point(Modality):
    """A few real numbers, with a Gaussian likelihood of unit variance."""

    kind: Literal["point"] = "point"
    size: PositiveInt = 2

    def event_shape(self) -> tuple[int, ...]:
        """(size,)."""
        return (self.size,)

    def parse(self, cell: Any) -> Tensor:
        """A list of numbers, float32."""
        if not isinstance(cell, (list, tuple)) or len(cell) != self.size:
            raise ValueError(f"{cell!r} is no list of {self.size} numbers; give one")
        x = torch.tensor([float(number) for number in cell])
        if not x.isfinite().all():
            raise ValueError(f"{cell!r} is not finite; give finite numbers")
        return x

    def example_cells(self) -> list[Any]:
        """Corners of a square."""
        return [[float(bit) for bit in f"{n:0{self.size}b}"[-self.size :]] for n in range(4)]

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """One hidden layer."""
        return _Encoder(nn.Identity(), self.size, width, extra)

    def decoder(self, size: int) -> nn.Module:
        """One hidden layer."""
        return _Decoder(size, self.size, _normal)

    def head(self, size: int) -> nn.Module:
        """One layer."""
        return _Decoder(size, self.size, _normal, hidden=0)


class Choice(Modality):
    """One of a few classes, a whole number each, with a categorical likelihood."""

    kind: Literal["choice"] = "choice"
    classes: PositiveInt = 3

    def event_shape(self) -> tuple[int, ...]:
        """()."""
        return ()

    def parse(self, cell: Any) -> Tensor:
        """The number of a class, or its digits, int64."""
        if str(cell) not in map(str, range(self.classes)):
            raise ValueError(f"{cell!r} is no class; give a whole number below {self.classes}")
        return torch.tensor(int(cell))

    def fixed_cells(self) -> list[str]:
        """The numbers of the classes."""
        return [str(number) for number in range(self.classes)]

    def example_cells(self) -> list[Any]:
        """All classes."""
        return list(range(self.classes))

    def baseline(self, chunks: Iterable[Tensor]) -> Tensor:
        """The most frequent class."""
        counts = torch.zeros(self.classes, dtype=torch.int64)
        for x in chunks:
            counts += torch.bincount(x, minlength=self.classes)
        return counts.argmax()

    def condition(self, x: Tensor) -> Tensor:
        """One-hot."""
        return nn.functional.one_hot(x, self.classes).float()

    @property
    def condition_size(self) -> int:
        """The number of classes."""
        return self.classes

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """An embedding and one hidden layer."""
        return _Encoder(nn.Embedding(self.classes, 8), 8, width, extra)

    def decoder(self, size: int) -> nn.Module:
        """One hidden layer."""
        return _Decoder(size, self.classes, _categorical)

    def head(self, size: int) -> nn.Module:
        """One layer."""
        return _Decoder(size, self.classes, _categorical, hidden=0)

    def point(self, p: Distribution) -> Tensor:
        """The most probable class."""
        return p.mode

    def average(self, p: Distribution, draws: int) -> Tensor:
        """The mean probabilities."""
        assert isinstance(p, distributions.Categorical)
        probabilities: Tensor = p.probs.unflatten(0, (draws, -1))
        return probabilities.mean(0)

    def scores(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Accuracy."""
        return {"accuracy": (point == x).float()}

    def better(self) -> dict[str, Better]:
        """An accuracy is better high."""
        return {"accuracy": "high"}


def _normal(features: Tensor) -> Distribution:
    return distributions.Independent(distributions.Normal(features, 1.0, validate_args=False), 1, validate_args=False)


def _categorical(features: Tensor) -> Distribution:
    return distributions.Categorical(logits=features, validate_args=False)


class _Encoder(nn.Module):
    def __init__(self, first: nn.Module, size: int, width: int, extra: int) -> None:
        super().__init__()
        self.first = first
        self.layers = nn.Sequential(nn.Linear(size + extra, 16), nn.Tanh(), nn.Linear(16, width))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        features = self.first(x)
        if condition is not None:
            features = torch.cat([features, condition.to(features)], dim=1)
        outputs: Tensor = self.layers(features)
        return outputs


class _Decoder(nn.Module):
    def __init__(self, size: int, out: int, likelihood: Callable[[Tensor], Distribution], hidden: int = 16) -> None:
        super().__init__()
        inner = [nn.Linear(size, hidden), nn.Tanh()] if hidden else []
        self.layers = nn.Sequential(*inner, nn.Linear(hidden or size, out))
        self.likelihood = likelihood

    def forward(self, z: Tensor) -> Distribution:
        return self.likelihood(at_least_float32(self.layers(z)))


def stand_in_modalities() -> dict[str, Modality]:
    """Three modalities that predict each other: `point`, `choice` and `other point`, a name with a space."""
    return {"point": Point(), "choice": Choice(), "other point": Point(size=3)}


def stand_in_values(modalities: Mapping[str, Modality], rows: int, seed: int = 0) -> dict[str, Tensor]:
    """Prepared values (rows, *event) of modalities: example cells that depend on one hidden number a row."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randint(2**31, (rows,), generator=generator)
    values = {}
    for name, modality in modalities.items():
        cells = list(modality.example_cells())
        if not cells:
            raise ValueError(f"{name}: example_cells returns no cells, and the kit makes its rows from them; write it")
        modality = modality.fit(iter([cells]))
        stored = modality.parse_column(cells).stored[hidden % len(cells)]
        x = modality.prepare(stored, None, torch.arange(rows))
        if type(modality) is Point:
            x = x + 0.3 * torch.randn(x.shape, generator=generator)
        values[name] = x
    return values


def with_holes(values: Mapping[str, Tensor], seed: int = 1) -> Batch:
    """Rows with missing modalities: each has one or more, the first four have all, the last has none."""
    rows = len(next(iter(values.values())))
    present = torch.rand(rows, len(values), generator=torch.Generator().manual_seed(seed)) < 0.6
    present[torch.arange(rows), torch.arange(rows) % len(values)] = True
    present[-1] = False
    present[:4] = True
    return batch_of(values, present)


def batch_of(values: Mapping[str, Tensor], present: Tensor) -> Batch:
    """A batch of values (B, *event), without the cells where present (B, M) is False."""
    return Batch({name: Observed(value, present[:, m]) for m, (name, value) in enumerate(values.items())})


class StandInSource(Source):
    """The source of a `StandInRun`: example cells in every split."""

    kind: Literal["stand_in"] = "stand_in"
    cells: dict[str, list[Any]]
    """Column -> example cells."""

    def splits(self) -> tuple[str, ...]:
        """Train, valid and test."""
        return ("train", "valid", "test")

    def files(self) -> Sequence[Path]:
        """None."""
        return ()

    def load(self, split: str) -> Table:
        """One row for each example cell of the column with the fewest."""
        rows = min(map(len, self.cells.values()))
        return Columns({name: cells[:rows] for name, cells in self.cells.items()})


@dataclass
class StandInRun:
    """A run with three small splits, each with missing cells; it has the attributes of `Run` and no others."""

    modalities: Mapping[str, Modality]
    model: Network
    rows: int = 40
    folder: Path = Path("run")
    lines: list[str] = field(default_factory=list)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        splits = ("train", "valid", "test")
        values = {split: stand_in_values(self.modalities, self.rows, seed) for seed, split in enumerate(splits)}
        self._batches = {split: with_holes(values[split], seed) for seed, split in enumerate(splits)}
        self.source = StandInSource(
            cells={
                column: list(cells)
                for name, m in self.modalities.items()
                for column, cells in m.by_column(name, list(m.example_cells())).items()
            }
        )
        self.present = {split: batch.present for split, batch in self._batches.items()}
        self.baselines = {name: m.baseline(iter([values["train"][name]])) for name, m in self.modalities.items()}

    @property
    def generator(self) -> torch.Generator:
        """A new generator with the same seed each time."""
        return torch.Generator().manual_seed(17)

    def say(self, line: str) -> None:
        """Store the line in `lines`."""
        self.lines.append(line)

    def batches(self, split: str, rows: Iterable[Tensor] | None = None, redraw: bool = False) -> Iterator[Batch]:
        """The rows of a split, 16 at a time, or the requested ones."""
        if split not in self._batches:
            raise UserError(f"there is no split {split!r}; the data has {', '.join(self._batches)}")
        batch = self._batches[split]
        for chosen in rows if rows is not None else torch.arange(batch.size).split(16):
            yield _at(batch, chosen)


def _at(batch: Batch, rows: Tensor) -> Batch:
    """The rows at places (n,) int64, in that order, repeated if a place is."""
    values, places = {}, {}
    for m, name in enumerate(batch.names):
        where = batch.present[:, m].cumsum(0) - 1
        places[name] = batch.present[rows, m].nonzero().squeeze(1)
        values[name] = batch.value(name)[where[rows[places[name]]]]
    return Batch.of_present(len(rows), values, places)
