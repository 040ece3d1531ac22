"""Packed runs: their cards, those of the catalogue, and where commands write what belongs to one."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.locations import CARD
from mmtoolkit.catalogue.shipped import read_document, registry


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class HalfPrecision(_Facts):
    """What half precision costs: the mean bound on log p of rows, by both weights and with the same noise."""

    split: str
    rows: int
    full: float
    """The bound by the weights as they were trained, in nats a row."""
    half: float
    """The bound by the packed weights, in nats a row."""
    loss: float
    """full - half."""
    stderr: float | None
    """The standard error of `loss`; None with one row."""


class ModelCard(_Facts):
    """Facts about a packed run."""

    schema_name: str = Field(alias="schema")
    """The name of its schema."""
    model: str
    """The kind of the model."""
    epochs: int
    rows: int
    """Training rows."""
    licence: str | None
    """The licence of the data set; None if the data is none of the catalogue."""
    scores: dict[str, float]
    """What was scored before the run was packed -> the score, for all targets that were not given."""
    half_precision: HalfPrecision


def models() -> dict[str, Path]:
    """The trained models of the catalogue: name -> folder of a packed run."""
    return {card.parent.name: card.parent for card in sorted((registry() / "models").glob(f"*/{CARD}"))}


def model_card(folder: Path) -> ModelCard:
    """The card of a packed run.

    Raises:
        UserError: it cannot be read.
    """
    card: ModelCard = ModelCard.model_validate(read_document(folder / CARD).data)
    return card


def model_size(folder: Path) -> int:
    """The bytes of a packed run."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def find_run(run: Path | str) -> Path:
    """The folder of a run: the path of a folder, or else the name of a model of the catalogue, or else the path."""
    path = Path(run)
    return path if os.path.isdir(path) else models().get(str(path), path)


def is_packed(folder: Path) -> bool:
    """Whether a folder holds a packed run."""
    return os.path.exists(folder / CARD)


def refuse_packed(folder: Path, what: str) -> None:
    """Raise if a folder holds a packed run, to which nothing is written.

    Raises:
        UserError: it does. It begins with `folder` and says `what` would be written.
    """
    if is_packed(folder):
        schema = model_card(folder).schema_name
        raise UserError(
            f"{folder}: is a packed run, which has no {what}, and nothing is written to it; train a run of your "
            f"own, as by `mmt run {schema}`"
        )


def folder_for(run: Path) -> Path:
    """Where commands write what belongs to a run: its folder; the current one for a packed run."""
    return Path() if is_packed(run) else run


def name_of(run: Path) -> str:
    """By what `find_run` finds the folder of a run from any folder: its name in the catalogue, or its whole path."""
    return run.name if models().get(run.name) == run else str(run.resolve())
