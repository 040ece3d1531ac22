"""The catalogue's results: what runs of studies scored, beside published numbers, and how these runs came about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.catalogue.shipped import Entry, registry


class Score(Entry):
    """A score of a run."""

    name: str
    """The score's name in the study."""
    value: float | None
    """None if the run's value was not finite."""
    stderr: float | None = None
    """The standard error over rows."""
    examples: int | None = None
    """How many rows it is the mean of."""
    published: float | None = None
    difference: float | None = None
    """The value less the published one."""


class Epochs(Entry):
    """How long a run trained."""

    trained: int
    planned: int
    """The epochs of the catalogue's study."""
    kept: int | None
    """The epoch whose weights were kept."""


class Machine(Entry):
    """Where a run was computed."""

    device: str
    threads: int | None
    precision: str


class Result(Entry):
    """A run of a study of the catalogue."""

    study: str
    run: dict[str, str]
    """Axis of the study -> its label."""
    command: str
    """The command that makes the run and the others of its study."""
    seed: int
    epochs: Epochs
    rows: dict[str, int]
    """Split -> number of rows."""
    machine: Machine
    seconds: float
    """The time of training, without scores."""
    finished: str
    """When the run ended."""
    versions: dict[str, str]
    scores: tuple[Score, ...]
    resolved: dict[str, Any] = Field(alias="schema")
    """The schema with all defaults, but for the places of files."""

    @property
    def title(self) -> str:
        """The run's labels, such as `mvae`."""
        return ", ".join(self.run.values())


class Mean(Entry):
    """A score of one model: the mean over rows."""

    score: str
    """The score's name in the study."""
    steps: int
    """Steps that refined the proposal of each row; 0 for the proposal as it is."""
    model: str
    value: float
    stderr: float


class Difference(Entry):
    """A score of the first model less that of the second: the mean over rows, with the standard error of this mean."""

    score: str
    steps: int
    models: tuple[str, str]
    value: float
    stderr: float


class RowByRow(Entry):
    """The models of a study on the same test rows."""

    study: str
    rows: int
    samples: int
    """K, draws of z a row."""
    steps: int
    """Of refinement."""
    mmtoolkit: str
    """The version."""
    means: tuple[Mean, ...]
    differences: tuple[Difference, ...]


def row_by_row(study: str) -> RowByRow | None:
    """The models of a study on the same test rows; None if nobody compared them."""
    path = registry() / "results" / "pairs" / f"{study}.yaml"
    if not path.is_file():
        return None
    return RowByRow.model_validate(read_yaml(path.read_text(encoding="utf-8"), str(path)).data)


def results() -> dict[str, Result]:
    """The results of the catalogue: name -> result."""
    return {name: read_result(path) for name, path in result_files().items()}


def result_files() -> dict[str, Path]:
    """The files of the catalogue's results: name -> file."""
    return {path.stem: path for path in sorted((registry() / "results").glob("*.yaml"))}


def read_result(path: Path) -> Result:
    """Read the file of a result."""
    return Result.model_validate(read_yaml(path.read_text(encoding="utf-8"), str(path)).data)
