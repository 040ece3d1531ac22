"""Prepared data: splits of a source, parsed once into the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean, listing
from mmtoolkit.catalogue import shipped
from mmtoolkit.components import Modality, Source, Table, Unit
from mmtoolkit.components.modality import members_of, with_learned
from mmtoolkit.components.reading import cells_of
from mmtoolkit.data.columns import Column, ColumnStore, Portion
from mmtoolkit.data.split import Split, records_of

CHUNK = 4096


@dataclass(frozen=True)
class Dataset:
    """The prepared splits of a source.

    Attributes:
        source: the source, with the folder of its data filled in.
        units: name -> modality or record, with the options that it learned from the data.
        splits: name -> split.
        notes: lines for the user, such as cells that count as missing and columns that supervision emptied.
    """

    source: Source
    units: Mapping[str, Unit]
    splits: Mapping[str, Split]
    notes: list[str] = field(default_factory=list)

    @property
    def modalities(self) -> dict[str, Modality]:
        """Name -> modality, in order, with the columns of each record in its place."""
        return members_of(self.units)

    def baselines(self) -> dict[str, Tensor]:
        """The training mean or mode of each modality: (*event)."""
        train = self.splits["train"]
        return {name: modality.baseline(train.values(name)) for name, modality in self.modalities.items()}

    def split(self, name: str) -> Split:
        """Find a split by its name.

        Raises:
            UserError: there is no such split.
        """
        if name not in self.splits:
            raise UserError(
                f"there is no split {name!r}{did_you_mean(name, list(self.splits))}; "
                f"the data has {', '.join(self.splits)}"
            )
        return self.splits[name]


class Presence(Mapping[str, Tensor]):
    """Which rows of each split have which modality: split -> (N, M) bool."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, name: str) -> Tensor:
        return self._dataset.split(name).present

    def __contains__(self, name: object) -> bool:
        return name in self._dataset.splits

    def __iter__(self) -> Iterator[str]:
        return iter(self._dataset.splits)

    def __len__(self) -> int:
        return len(self._dataset.splits)


def _plain_path(*path: str | int) -> str:
    return ".".join(map(str, path))


def locate(source: Source, at: Callable[..., str] = _plain_path) -> Source:
    """A copy of the source with the folder of its data filled in.

    Raises:
        UserError: the data is not on this machine.
    """
    try:
        return source.located(shipped.find_data_set)
    except UserError as error:
        raise UserError([f"{at('data')}: {fault}" for fault in error.faults]) from error


def prepare(
    source: Source,
    units: Mapping[str, Unit],
    at: Callable[..., str] = _plain_path,
    report: Callable[[str], None] = lambda line: None,
) -> Dataset:
    """Prepare all splits of a source, or take them from the cache.

    Args:
        source: the source of the rows.
        units: name -> modality or record, in schema order. They learn missing options from the training cells.
        at: returns the place of a key in the schema, for errors, as `Schema.at` does.
        report: receives a line for each step of the preparation.

    Raises:
        UserError: data is missing, empty or damaged, or a cell cannot be read; the lines name split, row and column.
    """
    source = locate(source, at)
    store = ColumnStore(source, source.files(), report)
    tables = _Tables(source)
    if unknown := [split for split in source.rows if split not in source.splits()]:
        raise UserError(
            [
                f"{at('data', 'rows', split)}: there is no split {split!r}{did_you_mean(split, source.splits())}; "
                f"the splits are {', '.join(source.splits())}"
                for split in unknown
            ]
        )
    if "train" not in source.splits():
        raise UserError(f"{at('data')}: has no split train; the splits are {', '.join(source.splits())}")
    modalities = {name: _fitted(name, m, tables, store, at) for name, m in members_of(units).items()}
    units = with_learned(units, modalities)
    splits: dict[str, Split] = {}
    notes = list(source.notes())
    faults: list[str] = []
    unread: dict[str, str] = {}
    for split in source.splits():
        portion = Portion(
            split, partial(tables.load, split, modalities, at), source.beside(split), source.rows.get(split)
        )
        columns = store.columns(portion, modalities)
        for name, column in columns.items():
            place = partial(source.place, split)
            lines = bad_cells(split, place, columns_text(name, modalities[name]), column, source.on_bad_cell)
            (faults if source.on_bad_cell == "error" else notes).extend(lines)
            if split == "train" and column.faults:
                row, fault = column.faults[0]
                unread[name] = f"{place(row)}: {fault}"
        splits[split] = Split(
            split,
            modalities,
            {name: column.stored for name, column in columns.items()},
            torch.stack([column.present for column in columns.values()], dim=1),
            records_of(units),
        )
    if faults:
        raise UserError(faults)
    _check_filled(splits["train"], modalities, at, unread, source.notes())
    splits["train"], warnings = _supervised(source, splits["train"])
    return Dataset(source, units, splits, notes + warnings)


_LISTED_FAULTS = 5
_LISTED_COLUMNS = 3


def columns_text(name: str, modality: Modality) -> str:
    """The columns of a modality for messages: `column a`, or `columns a, b, c and 2 more`."""
    columns = modality.source_columns(name)
    return f"column{'s' * (len(columns) > 1)} {listing(columns, _LISTED_COLUMNS)}"


def bad_cells(
    rows: str, place: Callable[[int], str], columns: str, column: Column, policy: Literal["error", "missing"]
) -> list[str]:
    """Lines about the cells of a column that cannot be read.

    Args:
        rows: the name of the rows, such as their split.
        place: returns the name of a row, counted from 0.
        columns: the names of the columns, as `columns_text` returns them.
        column: the column after parsing.
        policy: how to treat such cells. As errors, the first ones have a line each; as missing, there is one note.
    """
    if not column.fault_count:
        return []
    # What is wrong with a whole column is said once.
    same = not column.present.any() and len({fault for _, fault in column.faults}) == 1
    places = [(place(row), fault) for row, fault in column.faults[: 1 if same else _LISTED_FAULTS]]
    if policy == "missing":
        return [
            f"{rows}, {columns}: {column.fault_count} of {column.length} cells cannot be read and count as missing; "
            f"first, {places[0][0]}: {places[0][1]}"
        ]
    remedy = "mend the cell, list it in missing if it means a missing cell, or set data.on_bad_cell to missing"
    lines = [f"{row}, {columns}: {fault}; {remedy}" for row, fault in places]
    if more := column.fault_count - len(lines):
        lines.append(f"{rows}, {columns}: {more} more of its {column.length} cells cannot be read; mend them too")
    return lines


class _Tables:
    """The tables of a source. Each is loaded at most once, when needed, and its columns are checked."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._tables: dict[str, Table] = {}

    def load(self, split: str, modalities: Mapping[str, Modality], at: Callable[..., str]) -> Table:
        if split not in self._tables:
            self._tables[split] = self.source.load(split)
        table = self._tables[split]
        faults = [
            f"{at('modalities', name)}: the data has no column {column!r}"
            f"{did_you_mean(column, list(table.names))}; its columns are {', '.join(table.names)}: "
            f"set {'columns to some' if len(modality.source_columns(name)) > 1 else 'column to one'} of them"
            for name, modality in modalities.items()
            for column in modality.source_columns(name)
            if column not in table.names
        ]
        if faults:
            raise UserError(faults)
        return table


def _fitted(name: str, modality: Modality, tables: _Tables, store: ColumnStore, at: Callable[..., str]) -> Modality:
    columns = modality.source_columns(name)

    def cells() -> Iterator[list[object]]:  # loads the table only when iterated
        table = tables.load("train", {name: modality}, at)
        if not len(table):
            raise UserError(_empty_split(at))
        remaining, beside = tables.source.rows.get("train", len(table)), tables.source.beside("train")
        for chunk in table.chunks(columns, CHUNK):
            part = cells_of(name, modality, chunk)[:remaining]
            remaining -= len(part)
            if beside is not None and modality.reads_files:
                part, _ = beside.opened(part)  # preparing the column reports the faults
            yield [cell for cell in part if cell is not None]

    place = columns_text(name, modality)

    def learn() -> Modality:
        try:
            return modality.fit(cells())
        except ValidationError as error:
            text = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"{at('modalities', name)}: cannot learn from {place}: {text}") from error
        except ValueError as error:
            raise UserError(f"{at('modalities', name)}: cannot learn from {place}: {error}") from error

    return store.fitted(name, modality, learn)


def _empty_split(at: Callable[..., str]) -> str:
    return f"{at('data')}: the training split is empty; give it rows"


def _check_filled(
    train: Split,
    modalities: Mapping[str, Modality],
    at: Callable[..., str],
    unread: Mapping[str, str],
    notes: Sequence[str],
) -> None:
    """Raise if a modality has no training value. `unread` has the first fault of each with bad cells."""
    if not len(train):
        raise UserError(_empty_split(at))
    faults = [
        f"{at('modalities', name)}: none of the {len(train)} training rows has a value in "
        f"{columns_text(name, modality)}"
        + (
            f" that can be read; first, {unread[name]}; or remove the modality"
            if name in unread
            else "; remove the modality, or mend the data"
        )
        for m, (name, modality) in enumerate(modalities.items())
        if not train.present[:, m].any()
    ]
    if faults:
        raise UserError([*faults, *notes])  # the notes may give the reason


def _supervised(source: Source, train: Split) -> tuple[Split, list[str]]:
    """The training split without the cells that weak supervision hides, and notes on columns that it empties."""
    if source.supervision is None:
        return train, []
    names = list(train.modelled.modalities)  # a modality that the model does not see changes nothing for the others
    places = [m for m, name in enumerate(train.modalities) if name in names]
    present = train.present.clone()
    present[:, places] &= torch.from_numpy(source.supervision.kept(names, len(train)))
    notes = [
        f"data.supervision leaves no training value of {name}: its networks keep their initial weights"
        for m, name in zip(places, names, strict=True)
        if not present[:, m].any()
    ]
    return Split(train.name, train.modalities, train.stored, present, train.records), notes
