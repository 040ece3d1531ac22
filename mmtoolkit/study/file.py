"""The keys of a study's file: a schema, the axes that vary, the scores to collect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from mmtoolkit.base.described import Described
from mmtoolkit.base.yaml12 import write_yaml
from mmtoolkit.schema.schema import FOLDER_NAME, check_folder_name

# Columns of a study's table. No axis may have one of these names.
COLUMNS = ("seed", "score", "value", "stderr", "examples", "reference")


class _Part(Described):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Score(_Part):
    """One number that the study takes from each run's results.json."""

    name: str
    """Name of its column in the table and of its line in the figure."""
    kind: str
    """Kind of the evaluator."""
    target: tuple[str, ...] = ()
    """Targets of the result."""
    each: tuple[str, ...] = ()
    """Instead of `target`: one score for each of these targets, with the name `NAME: TARGET`."""
    given: tuple[str, ...] = ()
    """The given modalities of the result; by default none."""
    proposal: tuple[str, ...] | None = None
    """Proposal of the result, if it has one."""
    metric: str | None = None
    """Metric of the result, if there are several."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the evaluator, if several of one kind give such a result."""
    field: str = "value"
    """Key of the number in the result."""
    reference: tuple[str, str] | None = None
    """Table and row of the published results to compare it with."""

    @model_validator(mode="after")
    def _check_target(self) -> Score:
        if bool(self.target) == bool(self.each):
            raise ValueError("needs target, or each (one score for each target); give one of the two")
        return self

    @property
    def unit(self) -> str:
        """Label of the y axis of its panel."""
        return (self.metric or self.kind if self.field == "value" else self.field).replace("_", " ")

    def expanded(self) -> list[Score]:
        """One score for each target in `each`; the score itself if `each` is empty."""
        if not self.each:
            return [self]
        return [self.model_copy(update={"name": f"{self.name}: {t}", "target": (t,), "each": ()}) for t in self.each]


class Seeds(_Part):
    """Seeds of the runs to average."""

    keys: tuple[str, ...] = ("train.seed",)
    """Keys of the schema that take each seed."""
    values: tuple[int, ...] = Field((0,), min_length=1)
    """The seeds."""


class FigureOptions(_Part):
    """Options of the figure."""

    x: str | None = None
    """Axis of the study along x; by default the first."""
    scale: Literal["linear", "log", "symlog"] | None = None
    """Scale of x. By default it is logarithmic if positive values span a factor above 50 (and linear near 0 if 0 is
    one of the values), else linear."""


class Reference(_Part):
    """Published numbers to compare with."""

    results: str
    """Name of the results in the catalogue."""
    by: str
    """Axis whose labels name the entries of a row."""
    column: str
    """Column of the tables."""


class Study(_Part):
    """A grid of runs of one schema, and the scores to collect from each. `read_study` reads it from a file."""

    name: Annotated[str, AfterValidator(check_folder_name), Field(json_schema_extra={"pattern": FOLDER_NAME})]
    """Name of the study. Its folder is runs/studies/NAME, or the path after --out."""
    base: str
    """A schema of the catalogue, or a path relative to the study's file."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Key of the schema -> value, for every run, as after --set."""
    axes: dict[str, Any] = Field(default_factory=dict)
    """The axes that vary between runs; every combination is a run. An axis is a key of the schema -> a list of values,
    or any name -> a mapping label -> {key: value, ...}."""
    without: tuple[dict[str, Any], ...] = ()
    """Combinations to leave out: axis -> value or label. An axis that is not named matches every value."""
    seeds: Seeds = Seeds()
    """Each combination has a run for each seed: a list of seeds for train.seed, or {keys: [...], values: [...]}."""
    scores: tuple[Score, ...] = Field(min_length=1)
    """Numbers to take from each run."""
    figure: FigureOptions = FigureOptions()
    """Options of the figure."""
    reference: Reference | None = None
    """Published numbers to compare with."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return {"values": value} if isinstance(value, list) else value

    @property
    def expanded_scores(self) -> list[Score]:
        """The scores, with one for each target of `each`."""
        return [one for score in self.scores for one in score.expanded()]

    @property
    def x(self) -> str | None:
        """The axis along x; None if nothing varies."""
        return self.figure.x or next(iter(self.axes), None)

    def to_yaml(self) -> str:
        """The study as YAML that `read_study` reads."""
        return write_yaml(self.model_dump(mode="json", exclude_unset=True))


def offers(kind: str, options: Mapping[str, Any], score: Score) -> bool:
    """Whether an evaluator of this kind, with these options, can give a score."""
    return kind == score.kind and all(options.get(key) == value for key, value in score.options.items())


def axis_text(value: Any) -> str:
    """A value or label of an axis as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
