"""The keys of a study's file: a schema, the axes that vary, the scores to collect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from mmtoolkit.base.described import Described
from mmtoolkit.base.yaml12 import write_yaml
from mmtoolkit.schema.schema import FOLDER_NAME, check_folder_name

# Columns of a study's table. No axis may have one of these names.
COLUMNS = ("seed", "score", "value", "stderr", "examples", "reference")


class _Part(Described):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Score(_Part):
    """One number that the study takes from each run's results.json, or with `history` from its history.jsonl."""

    name: str
    """Name of its column in the table and of its line in the figure."""
    kind: str | None = None
    """Kind of the evaluator."""
    history: str | None = None
    """Instead of `kind`: key of a number that training reports each epoch, such as rows_per_second; the score is their
    median."""
    target: tuple[str, ...] | Literal["all"] = ()
    """Targets of the result; `all` stands for all modalities that the model learns."""
    each: tuple[str, ...] | Literal["all"] = ()
    """Instead of `target`: one score for each of these targets, with the name `NAME: TARGET`."""
    given: tuple[str, ...] | Literal["all", "others"] = ()
    """The given modalities of the result; `others` stands for all but the targets. By default none."""
    proposal: tuple[str, ...] | Literal["all"] | None = None
    """Proposal of the result, if it has one."""
    refined: bool = False
    """Whether to take the result of the refined proposal, if the evaluator refines proposals (`refine`)."""
    metric: str | None = None
    """Metric of the result, if there are several."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the evaluator, if several of one kind give such a result."""
    field: str = "value"
    """Key of the number in the result. Or `skill`: 1 less the error relative to the baseline's, which is 1 for no error
    and 0 for one as large as that of the mean or mode. It is of the first metric, if `metric` is not given."""
    reference: tuple[str, str] | None = None
    """Table and row of the published results to compare it with."""

    @field_validator("target", "each", "given", "proposal", mode="wrap")
    @classmethod
    def _check_names(cls, names: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """One line for a wrong value; pydantic would write one for each type."""
        try:
            return read(names)
        except ValidationError:
            raise ValueError(f"{names!r} is no list of modalities, nor the word all; write [NAME], or all") from None

    @model_validator(mode="after")
    def _check_target(self) -> Score:
        if (self.kind is None) == (self.history is None):
            raise ValueError("needs kind, or history (a number that training reports); give one of the two")
        if self.history is not None:
            if others := sorted(self.model_fields_set - {"name", "history"}):
                raise ValueError(f"history is a number of the whole run; remove {', '.join(others)}")
        elif bool(self.target) == bool(self.each):
            raise ValueError("needs target, or each (one score for each target); give one of the two")
        return self

    @property
    def unit(self) -> str:
        """Label of the y axis of its panel."""
        if self.history is not None:
            return self.history.replace("_", " ")
        return (self.metric or self.kind or "" if self.field == "value" else self.field).replace("_", " ")

    def expanded(self, modalities: Sequence[str] = ()) -> list[Score]:
        """One score for each target in `each`, without words; the score itself if it has neither.

        Args:
            modalities: what the words `all` and `others` stand for. `read_study` replaces them.
        """
        words = any(isinstance(names, str) for names in (self.target, self.each, self.given, self.proposal))
        if not self.each and not words:
            return [self]
        names = {self.name: tuple(modalities) if isinstance(self.target, str) else self.target}
        if self.each:
            each = modalities if isinstance(self.each, str) else self.each
            names = {f"{self.name}: {target}": (target,) for target in each}
        scores = []
        for name, target in names.items():
            given = self.given
            if isinstance(given, str):
                given = tuple(other for other in modalities if given == "all" or other not in target)
            proposal = tuple(modalities) if isinstance(self.proposal, str) else self.proposal
            update = {"name": name, "target": target, "each": (), "given": given, "proposal": proposal}
            scores.append(self.model_copy(update=update))
        return scores


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

    published: str
    """Name of the published results in the catalogue."""
    by: str
    """Axis whose labels name the entries of a row."""
    column: str
    """Column of the tables."""

    @model_validator(mode="before")
    @classmethod
    def _check_renamed(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "results" in value:
            raise ValueError(f"results is called published since 0.2; write published: {value['results']}")
        return value


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
    if kind != score.kind or (score.refined and not options.get("refine")):
        return False
    return all(options.get(key) == value for key, value in score.options.items())


def axis_text(value: Any) -> str:
    """A value or label of an axis as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
