"""A summary of prepared data: rows per split, shares of missing cells, signs of missing cells, types of columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mmtoolkit.data.dataset import Dataset
from mmtoolkit.tables.types import type_named


def summary(dataset: Dataset) -> dict[str, Any]:
    """The content of data.json.

    It holds the kind of each modality, and whether the model has it; the rows of each split, the share of them that
    lack each modality (None without rows), and the notes; how many cells of each column count as missing because of
    their text; and the types of the columns that have one.
    """
    splits = {
        name: {
            "rows": len(split),
            "missing": {
                modality: 1 - float(split.present[:, m].double().mean()) if len(split) else None
                for m, modality in enumerate(dataset.modalities)
            },
        }
        for name, split in dataset.splits.items()
    }
    modalities = {
        name: {"kind": modality.kind, "modelled": modality.modelled} for name, modality in dataset.modalities.items()
    }
    return {"modalities": modalities, "splits": splits, "notes": dataset.notes, **_columns(dataset)}


def _columns(dataset: Dataset) -> dict[str, Any]:
    own: dict[str, list[str]] = {}
    for name, modality in dataset.modalities.items():
        for source_column in modality.source_columns(name):
            own.setdefault(source_column, []).extend(modality.missing or ())
    signs: dict[str, Counter[str]] = {}
    types: dict[str, str] = {}
    for column in dataset.source.summaries(own):
        if column.signs:
            signs.setdefault(column.name, Counter()).update(column.signs)
        if column.type is not None and type_named(str(column.type)) == column.type:
            types.setdefault(column.name, str(column.type))
    return {"signs": {column: dict(counts) for column, counts in signs.items()}, "types": types}


def notes_on_signs(signs: Mapping[str, Mapping[str, int]]) -> list[str]:
    """How many cells of each column count as missing because of their text, a line for each column."""
    return [f"column {column}: cells that count as missing: {signs_text(counts)}" for column, counts in signs.items()]


def signs_text(counts: Mapping[str, int]) -> str:
    """Signs and how many cells each took, such as `'NA' (3), '-99' (12)`."""
    return ", ".join(f"{sign!r} ({count:,})" for sign, count in counts.items())
