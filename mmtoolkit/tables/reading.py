"""The options for reading a table from a file."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from mmtoolkit.base.described import Described
from mmtoolkit.tables.beside import FilesBeside
from mmtoolkit.tables.cells import is_nothing

Format = Literal["csv", "parquet", "arrow", "json", "jsonl", "xlsx"]

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
"""The usual texts for a missing cell in a format that has no null."""


class Reading(Described):
    """How to read a table: options for sources, for your tables on a run, and for `mmt init`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,  # `missing: [-1]` is a text
    )

    format: Literal["csv", "parquet", "arrow", "json", "jsonl", "xlsx"] | None = None
    """csv (also TSV), parquet, arrow (also Feather), json, jsonl or xlsx; by default, the file's ending decides."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The character between cells of a csv. By default, a tab in .tsv; else the comma, semicolon, tab or bar that cuts
    the first lines into equal cells that make sense."""
    quote: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The character around cells of a csv that hold a delimiter or a line break. By default, the double quote, or the
    single quote if the first lines have that instead."""
    head: Annotated[int, Field(ge=0)] | None = None
    """The line of a csv with the names of the columns, from 1; the lines above it are skipped. 0: no line has them, and
    the columns are column_1, column_2, …. By default, the first line, or the first below a title."""
    encoding: str = "utf-8"
    """The encoding of csv, json and jsonl, such as utf-8, cp1252 or utf-16. A file with a byte order mark, and one
    whose letters are valid UTF-8, is read as that."""
    sheet: str | None = None
    """The sheet of an xlsx file. By default, its first."""
    missing: tuple[str, ...] | None = None
    """Texts that mean a missing cell, in addition to null and NaN; a number, such as -99, takes a cell that is the same
    number. By default, in a csv: the empty text, NA, N/A, NaN,
    nan, null and NULL; in all other formats: none, because they have a null, so every text is a value."""
    absent_files: Literal["error", "missing"] = "error"
    """If a cell names a file that does not exist: error (a bad cell), or missing."""
    files_outside: bool = False
    """Whether cells may name files outside the table's folder."""

    def signs(self, has_null: bool) -> tuple[str, ...]:
        """The texts that mean a missing cell in a format, by whether that has a null."""
        if self.missing is not None:
            return self.missing
        return () if has_null else MISSING

    def files_in(self, folder: Path) -> FilesBeside:
        """Finds files that cells name relative to a folder."""
        return FilesBeside(folder, self.files_outside, self.absent_files)

    @field_validator("missing", mode="before")
    @classmethod
    def _listed(cls, missing: Any) -> Any:
        return sign_list(missing)

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (delimiter in '"\r\n' or not delimiter.isascii()):
            raise ValueError(f'{delimiter!r} cannot separate cells; give one character such as ";" or "\\t"')
        return delimiter

    @field_validator("quote")
    @classmethod
    def _quotes(cls, quote: str | None, others: ValidationInfo) -> str | None:
        if quote is not None and quote == others.data.get("delimiter"):
            raise ValueError(f"{quote!r} is the delimiter too; change one of them")
        if quote is not None and (quote.isalnum() or quote.isspace() or not quote.isascii()):
            raise ValueError(f"{quote!r} cannot stand around cells; give one character such as '\"' or \"'\"")
        return quote

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            if not codecs.lookup(encoding)._is_text_encoding:
                raise LookupError
        except (LookupError, ValueError):
            raise ValueError(f"there is no encoding {encoding!r}; give one such as utf-8, cp1252 or utf-16") from None
        return encoding


def sign_list(missing: Any) -> Any:
    """The option `missing` as a list of texts and numbers, without None and NaN, which always mean a missing cell.

    Raises:
        ValueError: it is no list.
    """
    if missing is None:
        return None
    if isinstance(missing, np.ndarray):
        missing = missing.tolist()
    if not isinstance(missing, (list, tuple, set, frozenset)):
        raise ValueError(f"{missing!r} is no list of texts and numbers; give one, such as ['NA', -99]")
    signs = [sign.item() if isinstance(sign, np.generic) else sign for sign in missing]
    return [sign for sign in signs if not is_nothing(sign)]


def unless_usual(missing: Any) -> Any:
    """The option `missing` of a schema; None, the default, if it lists the usual texts.

    Runs of 0.1 have the usual texts in their schema whether or not their user asked for them.
    """
    signs = sign_list(missing)
    return None if signs is not None and tuple(signs) == MISSING else signs
