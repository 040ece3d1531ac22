"""Data sets of the Hugging Face library: saved folders, folders of files, and those in its cache."""

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
    """A data set that the `datasets` library reads, from this machine alone unless `download` is set.

    Needs the extra `huggingface`. Pictures are read from their bytes or files, classes by their names.
    """

    kind: Literal["huggingface"] = "huggingface"

    folder: DataPath | None = None
    """A folder that `save_to_disk` wrote, or one of data files."""
    name: str | None = None
    """The name of a data set on the hub, such as `ylecun/mnist`, instead of `folder`; read from the library's cache."""
    config: str | None = None
    """Which configuration of it."""
    revision: str | None = None
    """Which version of it, a branch, tag or commit of the hub."""
    split_names: dict[str, str] = Field(default_factory=lambda: dict(_SPLITS))
    """Our split -> its split; those that it does not have are left out."""
    download: bool = False
    """Fetch what the cache lacks from the hub."""

    def model_post_init(self, context: Any) -> None:
        """Refuse both or neither of `folder` and `name`."""
        if (self.folder is None) == (self.name is None):
            raise ValueError(
                "needs a folder or the name of a data set, one of the two; give folder: PATH or name: NAME"
            )

    @cached_property
    def _found(self) -> dict[str, Any]:
        """Our splits as the library's data sets."""
        where = str(self.folder or self.name)
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                f"data: {where}: needs the library datasets; install it with pip install 'mmtoolkit[huggingface]'"
            ) from error
        if self.folder is not None and not self.folder.is_dir():
            raise UserError(f"{where}: there is no such folder; correct data.folder")
        try:
            with _offline(datasets, not self.download):
                if self.folder is not None and any((self.folder / n).is_file() for n in _SAVED):
                    loaded = datasets.load_from_disk(where)
                else:
                    loaded = datasets.load_dataset(where, self.config, revision=self.revision)
        except Exception as error:  # the library has dozens of its own
            remedy = "correct data" if self.folder or self.download else "set data.download to true to fetch it"
            raise UserError(f"{where}: cannot be loaded: {error_text(error)}; {remedy}") from error
        given = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
        found = {ours: given[theirs] for ours, theirs in self.split_names.items() if theirs in given}
        if not found:
            raise UserError(f"{where}: has the splits {', '.join(given)}; name them by data.split_names, train: NAME")
        return found

    def splits(self) -> tuple[str, ...]:
        """Those of `split_names` that there are."""
        return tuple(self._found)

    def files(self) -> Sequence[Path]:
        """The Arrow files of its splits."""
        return [Path(file["filename"]) for split in self._found.values() for file in split.cache_files]

    def load(self, split: str) -> Table:
        """The rows of a split."""
        return _Rows(self._found[split])


# What `save_to_disk` leaves in a folder.
_SAVED = ("dataset_dict.json", "dataset_info.json")


@contextlib.contextmanager
def _offline(datasets: Any, wanted: bool) -> Iterator[None]:
    """Keep the library from the network for a while: it has no argument for that."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


class _Rows:
    """The rows of a split: a `Table`, mapped into memory by the library."""

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
        """Classes by their names, pictures as the bytes of their files or as the files' paths."""
        feature = self.split.features[name]
        if hasattr(feature, "int2str"):
            return [None if cell is None or cell < 0 else feature.int2str(int(cell)) for cell in cells]
        return [_file(cell) for cell in cells] if hasattr(feature, "decode_example") else cells


def _file(cell: Any) -> Any:
    """What the library stores of a picture: its bytes, else its path."""
    if isinstance(cell, dict) and cell.keys() == {"bytes", "path"}:
        return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"])
    return cell
