"""A study as its file declares it: a schema, what varies, and which scores are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from mmtoolkit.base.yaml12 import write_yaml
from mmtoolkit.schema.schema import FOLDER_NAME, check_folder_name

# Columns of a study's table, which no axis may be called.
COLUMNS = ("seed", "score", "value", "stderr", "examples", "reference")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Kept(_Part):
    """One number of each run's results.json that the study keeps."""

    name: str
    """Its column in the table and its line in the figure."""
    kind: str
    """The evaluator's."""
    target: tuple[str, ...] = ()
    """The result's targets."""
    each: tuple[str, ...] = ()
    """Instead of `target`: one such score for each of these targets, called NAME: TARGET."""
    given: tuple[str, ...] = ()
    """The result's given; nothing where left out."""
    proposal: tuple[str, ...] | None = None
    """The result's proposal, where it has one."""
    metric: str | None = None
    """The result's metric, where it has several."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options that the evaluator has, where several of one kind give such a result."""
    field: str = "value"
    """The number that is kept of the result."""
    reference: tuple[str, str] | None = None
    """The table and the row of the published results that it is compared with."""

    @model_validator(mode="after")
    def _one_way(self) -> Kept:
        if bool(self.target) == bool(self.each):
            raise ValueError("needs target, or each for one score a target; give one of the two")
        return self

    @property
    def unit(self) -> str:
        """What is on the axis of its panel."""
        return (self.metric or self.kind if self.field == "value" else self.field).replace("_", " ")

    def expanded(self) -> list[Kept]:
        """One score for each target that `each` names; itself where it names none."""
        if not self.each:
            return [self]
        return [self.model_copy(update={"name": f"{self.name}: {t}", "target": (t,), "each": ()}) for t in self.each]


class Seeds(_Part):
    """The seeds of the runs that are averaged."""

    keys: tuple[str, ...] = ("train.seed",)
    """The keys of the schema that each seed is written to."""
    values: tuple[int, ...] = Field((0,), min_length=1)
    """The seeds."""


class Drawn(_Part):
    """How the figure is drawn."""

    x: str | None = None
    """The axis of the study along the figure's; the first where left out."""
    scale: Literal["linear", "log", "symlog"] | None = None
    """The scale of x. Where left out: logarithmic where positive values span a factor above 50, linear near 0 where
    0 is one of them."""


class Reference(_Part):
    """Published numbers to compare with."""

    results: str
    """Their name in the catalogue."""
    by: str
    """The axis whose labels name what stands in a row."""
    column: str
    """The column of the tables."""


class Study(_Part):
    """A grid of runs of one schema, and the scores that are kept of each. `read_study` reads one from a file."""

    name: Annotated[str, AfterValidator(check_folder_name), Field(json_schema_extra={"pattern": FOLDER_NAME})]
    """Names the study; its folder is runs/studies/NAME unless --out says otherwise."""
    base: str
    """A schema of the catalogue, or a path relative to the study's file."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys of the schema -> values, for every run, as --set takes them."""
    axes: dict[str, Any] = Field(default_factory=dict)
    """What varies; every combination is a run. A key of the schema -> a list of values; or any name -> a mapping
    label -> {key: value, ...}."""
    without: tuple[dict[str, Any], ...] = ()
    """Combinations that are left out, each a mapping axis -> value or label; axes that it does not name may be any."""
    seeds: Seeds = Seeds()
    """Each combination is run once for each seed: a list of seeds for train.seed, or {keys: [...], values: [...]}."""
    scores: tuple[Kept, ...] = Field(min_length=1)
    """The numbers that are kept of each run."""
    figure: Drawn = Drawn()
    """How the figure is drawn."""
    reference: Reference | None = None
    """Published numbers to compare with."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return {"values": value} if isinstance(value, list) else value

    @property
    def kept(self) -> list[Kept]:
        """The scores, with `each` expanded."""
        return [one for score in self.scores for one in score.expanded()]

    @property
    def x(self) -> str | None:
        """The axis along the figure; None where nothing varies."""
        return self.figure.x or next(iter(self.axes), None)

    def to_yaml(self) -> str:
        """The study as `read_study` reads it."""
        return write_yaml(self.model_dump(mode="json", exclude_unset=True))


def offers(kind: str, options: Mapping[str, Any], score: Kept) -> bool:
    """Whether an evaluator of this kind and with these options may give a score."""
    return kind == score.kind and all(options.get(key) == value for key, value in score.options.items())


def told(value: Any) -> str:
    """A value on an axis in words."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
