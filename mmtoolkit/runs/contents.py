"""What each file of a run folder must hold. A file may hold more."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, model_validator

from mmtoolkit.base.better import Better


class Content(BaseModel):
    """The content of a file, or a part of it."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Versions(Content):
    mmtoolkit: str
    torch: str
    python: str


class _Plugin(Content):
    name: str
    distribution: str
    checksum: str | None


class _Times(Content):
    started: str
    finished: str | None


class RecordFile(Content):
    """run.json."""

    versions: _Versions
    plugins: list[_Plugin]
    command: str
    seed: int
    device_name: str
    precision: str
    threads: int
    kernels: Literal["torch", "onednn"] | None = None  # runs of 0.1 have none
    git: str | None
    data: dict[str, str]
    times: _Times


class _MmtoolkitVersion(Content):
    mmtoolkit: str


class VersionOfRecord(Content):
    """The part of run.json that every version of mmtoolkit writes."""

    versions: _MmtoolkitVersion


class ResultEntry(Content):
    """One result of an evaluator."""

    target: list[str]
    given: list[str]
    proposal: list[str] | None = None
    refine: NonNegativeInt | None = None
    metric: str | None = None
    better: Better | None = None
    value: float | None = None
    stderr: NonNegativeFloat | None = None
    baseline: float | None = None
    examples: NonNegativeInt | None = None


class _Score(Content):
    kind: str
    options: dict[str, Any]
    split: str
    results: list[ResultEntry]
    notes: list[str]


class EvaluationFile(Content):
    """evaluations/N.json."""

    run: str | None = None
    """What was scored, if the file is not in the folder of that run."""
    scores: list[_Score]


class _Parameters(Content):
    total: int
    inference: int


class _Training(Content):
    epochs: int
    kept_epoch: int
    reason: str


class ResultsFile(EvaluationFile):
    """results.json."""

    name: str
    parameters: _Parameters
    training: _Training


class HistoryLine(Content):
    """A line of history.jsonl."""

    epoch: int
    loss: float
    terms: dict[str, float]
    validation: float | None
    seconds: float
    rows_per_second: float


class _Split(Content):
    rows: NonNegativeInt
    missing: dict[str, float | None]


class _Modality(Content):
    kind: str
    modelled: bool


class DataFile(Content):
    """data.json."""

    modalities: dict[str, _Modality] = {}  # runs of 0.1 have neither these, nor signs, nor types
    splits: dict[str, _Split]
    notes: list[str]
    signs: dict[str, dict[str, int]] = {}
    types: dict[str, str] = {}


class LatentFile(Content):
    """latent.json."""

    split: str
    rows: list[int]
    means: list[list[float]]
    shades: dict[str, list[float | str | None]]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        lengths = {len(self.rows), len(self.means), *map(len, self.shades.values())}
        if len(lengths) > 1 or len(set(map(len, self.means))) > 1:
            raise ValueError("its lists differ in length")
        return self


class _Picture(Content):
    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]  # of the folder figures, and of no other
    name: str
    title: str
    text: str
    evaluator: NonNegativeInt | None


class PicturesFile(Content):
    """figures.json."""

    pictures: list[_Picture]


class SchemaFile(Content):
    """schema.yaml, as plain data."""

    name: str
    data: dict[str, Any]
    modalities: dict[str, dict[str, Any]]
    model: dict[str, Any]
    train: dict[str, Any]
    evaluate: list[dict[str, Any]]
