"""A table that you give to a trained run: its rows, and the options for reading it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.components import DataPath, Run, Source
from mmtoolkit.schema.overrides import parse_override
from mmtoolkit.sources.table_path import refuse_location
from mmtoolkit.tables import FilesBeside, Reading, RowTable, TableFile, open_table
from mmtoolkit.tables.frame import Frame
from mmtoolkit.tables.frames import frame_of
from mmtoolkit.tables.parts import folder_of
from mmtoolkit.tables.shard import Shard

Policy = Literal["error", "missing"]


class UserTable(Reading):
    """A table that you give to a trained run, which learns nothing from it. Reading its rows opens it."""

    options: ClassVar[tuple[str, ...]]
    """The options that you may set; the others do not apply to such a table."""

    on_bad_cell: Policy = "error"
    """Whether a cell that cannot be read is an error, or counts as missing and is reported."""

    @property
    @abstractmethod
    def rows(self) -> RowTable:
        """The rows of the table.

        Raises:
            UserError: the table cannot be read.
        """

    @property
    @abstractmethod
    def beside(self) -> FilesBeside:
        """Where to find the files that its cells name."""

    @classmethod
    def for_run(
        cls,
        run: Run,
        options: Mapping[str, Any],
        on_bad_cell: str | None = None,
        spelled: Callable[[str], str] = str,
        **content: Any,
    ) -> Self:
        """Create a table that is read with the options of the run's own source.

        Args:
            run: the run whose source gives the options.
            options: options that differ.
            on_bad_cell: the option of that name; it overrides `options`.
            spelled: gives an option as the user wrote it, for errors.
            content: the table's path, or the table.

        Raises:
            UserError: there is no such option, or its value does not fit.
        """
        for key in options:
            if key not in cls.options:
                known = ", ".join(map(spelled, cls.options))
                raise UserError(
                    f"{spelled(key)}: is not an option for reading this table{did_you_mean(key, cls.options)}; "
                    f"choose among {known}"
                )
        values = {key: value for key, value in _options_of(run.source).items() if key in cls.options} | dict(options)
        if on_bad_cell is not None:
            values["on_bad_cell"] = on_bad_cell
        try:
            return cls.model_validate({**values, **content})
        except ValidationError as error:
            fault = error.errors()[0]
            text = fault["msg"].removeprefix("Value error, ")
            if fault["type"] != "value_error":  # our own errors already name the value
                text = f"{text[0].lower()}{text[1:]}, not {fault['input']!r}"
            if fault["loc"][0] not in cls.options:
                raise UserError(text) from error
            raise UserError(
                f"{spelled('.'.join(map(str, fault['loc'])))}: {text}{'' if '; ' in text else '; change it'}"
            ) from error


class UserFile(UserTable):
    """A table in a file. Paths in its cells are relative to its folder."""

    options = (*Reading.model_fields, "on_bad_cell")

    path: DataPath
    """The path of the file."""
    folder: DataPath | None = None
    """The folder that paths in cells are relative to. By default, the file's."""
    shard: Shard | None = None
    """The share of a table's files that one of several jobs reads. By default, all."""

    _refuse_location = field_validator("path", mode="before")(refuse_location)

    @cached_property
    def rows(self) -> TableFile:
        """The file, opened."""
        return open_table(self.path, self, self.shard)

    @property
    def beside(self) -> FilesBeside:
        """The file's folder."""
        return self.files_in(self.folder or folder_of(self.path))


class UserFrame(UserTable):
    """A table in memory. Paths in its cells are relative to the current folder, and may leave it."""

    options = ("missing", "absent_files", "on_bad_cell")

    data: Any = Field(repr=False)
    """A pandas or polars frame, an Arrow table, or a mapping of column -> cells."""
    files_outside: bool = True
    """Always true: you made the table in memory, so you know where its files lie."""

    @cached_property
    def rows(self) -> Frame:
        """The table, whatever its kind."""
        return frame_of(self.data, self.signs(has_null=True))

    @property
    def beside(self) -> FilesBeside:
        """The current folder."""
        return self.files_in(Path.cwd())


def _options_of(source: Source) -> dict[str, Any]:
    """The options with which a run's source reads cells."""
    reading, beside = source.reading() or Reading(), source.beside("train")
    files = {} if beside is None else {"absent_files": beside.absent, "files_outside": beside.outside}
    return {**reading.model_dump(), **files, "on_bad_cell": source.on_bad_cell}


def file_as_set(
    run: Run,
    path: Path,
    sets: Sequence[str] | None,
    on_bad_cell: str | None,
    folder: Path | None = None,
    shard: Shard | None = None,
) -> UserFile:
    """Create a table in a file with the options of the command line.

    Args:
        run: the run whose source gives the other options.
        path: the path of the file.
        sets: options that differ, `data.KEY=VALUE` each.
        on_bad_cell: the option `--on-bad-cell`; it overrides `sets`.
        folder: the folder that paths in cells are relative to; by default, the file's.
        shard: the share of the table's files to read; by default, all.

    Raises:
        UserError: one of `sets` is not an option for reading a table, or its value does not fit.
    """
    options: dict[str, Any] = {}
    for text in sets or ():
        keys, value = parse_override(text)
        if len(keys) != 2 or keys[0] != "data" or keys[1] not in UserFile.options:
            hint = did_you_mean(str(keys[-1]), UserFile.options)
            known = ", ".join(f"data.{key}" for key in UserFile.options)
            raise UserError(f"--set {text}: is not an option for reading a table{hint}; choose among {known}")
        options[str(keys[1])] = value
    return UserFile.for_run(
        run, options, on_bad_cell, lambda key: f"--set data.{key}", path=path, folder=folder, shard=shard
    )
