"""The source `huggingface`: data sets of the `datasets` library, from folders or its cache."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text
from mmtoolkit.components import DataPath, Source, Table
from mmtoolkit.tables.cells import Cells
from mmtoolkit.tables.rows import Rows

_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_PIECE = 4096


class HuggingFace(Source):
    """A data set of the `datasets` library; it stays offline unless `download` is set.

    Needs the extra `huggingface`. Pictures are the bytes or paths of their files; classes are their names.
    """

    kind: Literal["huggingface"] = "huggingface"

    folder: DataPath | None = None
    """A folder that `save_to_disk` wrote, or a folder of data files."""
    name: str | None = None
    """The name of a data set on the hub, such as `ylecun/mnist`, instead of `folder`; it is read from the cache."""
    config: str | None = None
    """The configuration of the data set."""
    revision: str | None = None
    """The version of the data set: a branch, tag or commit on the hub."""
    split_names: dict[str, str] = Field(default_factory=lambda: dict(_SPLITS))
    """Our split -> its split; splits that the data set lacks are left out."""
    download: bool = False
    """Whether to fetch the data set from the hub if the cache lacks it."""

    def model_post_init(self, context: Any) -> None:
        """Raise a `ValueError` unless exactly one of `folder` and `name` is set."""
        if (self.folder is None) == (self.name is None):
            raise ValueError("needs either a folder or the name of a data set; write folder: PATH or name: NAME")

    @cached_property
    def _by_split(self) -> dict[str, Any]:
        """Our split -> the library's data set."""
        where = str(self.folder or self.name)
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                f"data: {where}: needs the library datasets; run `pip install 'mmtoolkit[huggingface]'`"
            ) from error
        if self.folder is not None and not self.folder.is_dir():
            raise UserError(f"{where}: there is no such folder; correct data.folder")
        try:
            with _offline(datasets, not self.download):
                if self.folder is not None and any((self.folder / n).is_file() for n in _SAVED):
                    loaded = datasets.load_from_disk(where)
                else:
                    loaded = datasets.load_dataset(where, self.config, revision=self.revision)
        except Exception as error:  # the library raises dozens of classes
            remedy = "correct data" if self.folder or self.download else "set data.download to true to fetch it"
            raise UserError(f"{where}: cannot be loaded: {error_text(error)}; {remedy}") from error
        splits = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
        by_split = {ours: splits[theirs] for ours, theirs in self.split_names.items() if theirs in splits}
        if not by_split:
            raise UserError(f"{where}: has the splits {', '.join(splits)}; set data.split_names to {{train: NAME}}")
        return by_split

    def splits(self) -> tuple[str, ...]:
        """The splits of `split_names` that the data set has."""
        return tuple(self._by_split)

    def files(self) -> Sequence[Path]:
        """The Arrow files of its splits."""
        return [Path(file["filename"]) for split in self._by_split.values() for file in split.cache_files]

    def load(self, split: str) -> Table:
        """The rows of a split."""
        return _Rows(self._by_split[split])


# The files that `save_to_disk` writes.
_SAVED = ("dataset_dict.json", "dataset_info.json")


@contextlib.contextmanager
def _offline(datasets: Any, offline: bool) -> Iterator[None]:
    """Keep the library offline inside, by its configuration: it has no argument for that."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


class _Rows:
    """The rows of a split: a `Table` that the library maps into memory."""

    def __init__(self, split: Any) -> None:
        self.split = split

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.split.column_names)

    def __len__(self) -> int:
        return len(self.split)

    def column(self, name: str) -> Cells:
        """All cells of a column."""
        return [cell for chunk in self.chunks([name], _PIECE) for cell in chunk[name]]

    def chunks(self, names: Sequence[str], size: int) -> Iterator[dict[str, Cells]]:
        """The named columns, up to `size` rows at a time."""
        chosen = self.split.select_columns(list(dict.fromkeys(names))).with_format("arrow")
        for start in range(0, len(chosen), size):
            table = chosen[start : min(start + size, len(chosen))]
            rows = Rows({name: table.column(name).combine_chunks() for name in table.column_names}, ())
            yield {name: self._cells(name, rows.cells(name)) for name in rows.raw}

    def _cells(self, name: str, cells: Cells) -> Cells:
        """Cells, with classes as names and pictures as the bytes or paths of their files."""
        feature = self.split.features[name]
        if hasattr(feature, "int2str"):
            return [None if cell is None or cell < 0 else feature.int2str(int(cell)) for cell in cells]
        return [_file(cell) for cell in cells] if hasattr(feature, "decode_example") else cells


def _file(cell: Any) -> Any:
    """The bytes of a picture that the library stores, else its path."""
    if isinstance(cell, dict) and cell.keys() == {"bytes", "path"}:
        return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"])
    return cell
