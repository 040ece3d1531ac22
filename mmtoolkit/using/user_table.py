"""A table that you give to a trained run: its rows, and how they are read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.components import DataPath, Run, Source
from mmtoolkit.schema.overrides import parse_override
from mmtoolkit.tables import FilesBeside, Reading, RowTable, TableFile, open_table
from mmtoolkit.tables.frames import Frame, frame_of

Policy = Literal["error", "missing"]


class UserTable(Reading):
    """A table that you give to a trained run, which learns nothing from it. It is opened when its rows are needed."""

    options: ClassVar[tuple[str, ...]]
    """Those that you may give; the others mean nothing to such a table."""

    on_bad_cell: Policy = "error"
    """What a cell that cannot be read is: an error, or a missing cell that is counted and reported."""

    @property
    @abstractmethod
    def rows(self) -> RowTable:
        """Its rows.

        Raises:
            UserError: it cannot be read.
        """

    @property
    @abstractmethod
    def beside(self) -> FilesBeside:
        """Where the files lie that its cells name."""

    @classmethod
    def for_run(
        cls,
        run: Run,
        options: Mapping[str, Any],
        on_bad_cell: str | None = None,
        spelled: Callable[[str], str] = str,
        **content: Any,
    ) -> Self:
        """A table that is read as the run's own source reads its data.

        Args:
            run: whose source's options are taken.
            options: those that differ.
            on_bad_cell: the option of that name; it goes before `options`.
            spelled: an option as you wrote it, for errors.
            content: the table's path, or the table.

        Raises:
            UserError: there is no such option, or its value does not fit.
        """
        for key in options:
            if key not in cls.options:
                known = ", ".join(map(spelled, cls.options))
                raise UserError(
                    f"{spelled(key)}: says nothing of how this table is read{did_you_mean(key, cls.options)}; "
                    f"what does is {known}"
                )
        values = {key: value for key, value in _options_of(run.source).items() if key in cls.options} | dict(options)
        if on_bad_cell is not None:
            values["on_bad_cell"] = on_bad_cell
        try:
            return cls.model_validate({**values, **content})
        except ValidationError as error:
            fault = error.errors()[0]
            text = fault["msg"].removeprefix("Value error, ")
            if fault["type"] != "value_error":  # our own errors name the value
                text = f"{text[0].lower()}{text[1:]}, not {fault['input']!r}"
            if fault["loc"][0] not in cls.options:
                raise UserError(text) from error
            raise UserError(f"{spelled('.'.join(map(str, fault['loc'])))}: {text}; change it") from error


class UserFile(UserTable):
    """A table in a file. Paths in its cells are relative to its folder."""

    options = (*Reading.model_fields, "on_bad_cell")

    path: DataPath
    """Of the file."""

    @cached_property
    def rows(self) -> TableFile:
        """The file, opened."""
        return open_table(self.path, self)

    @property
    def beside(self) -> FilesBeside:
        """The file's folder."""
        return self.files_in(self.path.parent)


class UserFrame(UserTable):
    """A table in memory. Paths in its cells are relative to the current folder, and may leave it."""

    options = ("missing", "absent_files", "on_bad_cell")

    data: Any = Field(repr=False)
    """A pandas or polars frame, an Arrow table, or a mapping of column -> cells."""
    files_outside: bool = True
    """Always so: whoever made the table in memory knows where its files lie."""

    @cached_property
    def rows(self) -> Frame:
        """The table, whatever its kind."""
        return frame_of(self.data, self.missing)

    @property
    def beside(self) -> FilesBeside:
        """The current folder."""
        return self.files_in(Path.cwd())


def _options_of(source: Source) -> dict[str, Any]:
    """How a run's source reads cells: the options of a table that is given to the run."""
    reading, beside = source.reading() or Reading(), source.beside("train")
    files = {} if beside is None else {"absent_files": beside.absent, "files_outside": beside.outside}
    return {**reading.model_dump(), **files, "on_bad_cell": source.on_bad_cell}


def file_as_set(run: Run, path: Path, sets: Sequence[str] | None, on_bad_cell: str | None) -> UserFile:
    """A table's file, read as the command line says.

    Args:
        run: whose source's options are taken.
        path: of the file.
        sets: `data.KEY=VALUE` each, options that differ.
        on_bad_cell: the option `--on-bad-cell`; it goes before `sets`.

    Raises:
        UserError: one of `sets` is no option of reading, or its value does not fit.
    """
    options: dict[str, Any] = {}
    for text in sets or ():
        keys, value = parse_override(text)
        if len(keys) != 2 or keys[0] != "data" or keys[1] not in UserFile.options:
            hint = did_you_mean(str(keys[-1]), UserFile.options)
            known = ", ".join(f"data.{key}" for key in UserFile.options)
            raise UserError(f"--set {text}: says nothing of how a table is read{hint}; what does is {known}")
        options[str(keys[1])] = value
    return UserFile.for_run(run, options, on_bad_cell, lambda key: f"--set data.{key}", path=path)
