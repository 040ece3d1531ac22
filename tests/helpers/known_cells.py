"""Tables of every kind of column with holes, in every format; and what must hold after the holes are filled.

`columns` draws a table. A format writes it, `mmt init` writes a schema for it, an untrained run of that schema fills
it, and the format checks the new table cell by cell, with readers of its own.
"""

from __future__ import annotations

import csv
import io
import json
import math
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from mmtoolkit import TrainedRun, UserError, build, load_plugins, parse_schema, prepare
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.first_schema import first_schema
from mmtoolkit.tables import Reading
from mmtoolkit.using.imputed_table import impute_table
from mmtoolkit.using.user_table import UserFile

Fits = Callable[[Any], bool]
"""Whether a filled cell is a value of its column: it takes the text in a text format, else the typed value."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        kind: what it holds.
        texts: its cells as a text file has them, None for a hole.
        values: its cells as a typed file has them, None for a hole.
        fits_text: whether a text is a value of the column.
        fits_value: whether a typed value is one.
    """

    kind: str
    texts: Sequence[str | None]
    values: Sequence[Any]
    fits_text: Fits
    fits_value: Fits


PLUGINS = load_plugins()
_WORDS = [
    "oats",
    "rye",
    "barley",
    "Ähre",
    "dinkel wheat",
    'the "old" one',
    "a,b",
    "c;d",
    "x|y",
    "two\nlines",
    "ß",
    "日本",
]
_SIGNS = ["NA", "None", "nan", "null", "<NA>", "NaT", "(null)", "-", "?"]
_PAIRS = [("no", "yes"), ("No", "Yes"), ("FALSE", "TRUE"), ("f", "t"), ("0", "1"), ("nein", "ja")]


def _words(draw: random.Random, rows: int) -> Column:
    words = draw.sample(_WORDS, draw.randint(2, 4))
    cells = [draw.choice(words) for _ in range(rows)]
    return Column("words", cells, cells, words.__contains__, words.__contains__)


def _words_and_signs(draw: random.Random, rows: int) -> Column:
    """Words among which some look like signs of missing cells: known in a format with a null."""
    words = [*draw.sample(_WORDS[:5], 2), draw.choice(_SIGNS)]
    cells = [draw.choice(words) for _ in range(rows)]
    return Column("words and signs", cells, cells, words.__contains__, words.__contains__)


def _pair(draw: random.Random, rows: int) -> Column:
    pair = draw.choice(_PAIRS)
    flags = [draw.random() < 0.5 for _ in range(rows)]
    texts = [pair[flag] for flag in flags]
    typed: Sequence[Any] = [int(text) for text in texts] if pair[0] == "0" else draw.choice([texts, flags])
    return Column("pair", texts, typed, pair.__contains__, {*typed}.__contains__)


def _whole(draw: random.Random, rows: int) -> Column:
    top = draw.choice([40, 3000, 2_000_000_000])
    numbers = [draw.randint(0, top) for _ in range(rows)]
    return Column("whole", [str(n) for n in numbers], numbers, _pattern(r"-?\d+"), lambda x: float(x).is_integer())


def _floats_of_whole(draw: random.Random, rows: int) -> Column:
    """Whole numbers in a column of floats, as holes make them; few of them, so that they may be classes."""
    numbers = [draw.randint(1, 4) for _ in range(rows)]
    texts = [f"{n}.0" for n in numbers]
    return Column("floats of whole", texts, [float(n) for n in numbers], _pattern(r"-?\d+\.0"), _is_whole)


def _decimals(draw: random.Random, rows: int) -> Column:
    digits = draw.randint(1, 3)
    numbers = [round(draw.gauss(5, 3), digits) for _ in range(rows)]
    texts = [f"{n:.{digits}f}" for n in numbers]
    return Column("decimals", texts, numbers, _pattern(rf"-?\d+\.\d{{{digits}}}"), _at_most(digits))


def _comma(draw: random.Random, rows: int) -> Column:
    """Numbers with a decimal comma, texts in every format."""
    texts = [f"{draw.gauss(5, 3):.1f}".replace(".", ",") for _ in range(rows)]
    fits = _pattern(r"-?\d+,\d")
    return Column("comma", texts, texts, fits, fits)


def _dates(draw: random.Random, rows: int) -> Column:
    days = [date(2024, 1, 1) + timedelta(draw.randrange(400)) for _ in range(rows)]
    written = draw.choice(["%Y-%m-%d", "%d.%m.%Y", "%Y%m%d"])
    texts = [day.strftime(written) for day in days]

    def fits(text: Any) -> bool:
        return isinstance(text, str) and datetime.strptime(text, written).strftime(written) == text

    def is_day(value: Any) -> bool:
        return isinstance(value, date) or (isinstance(value, str) and date.fromisoformat(value).isoformat() == value)

    return Column("dates", texts, days, fits, is_day)


def _ids(draw: random.Random, rows: int) -> Column:
    form = draw.choice(["19 digits", "007", "007.1"])
    texts = [
        str(10**18 + draw.randrange(10**9))
        if form == "19 digits"
        else f"{draw.randrange(60):03}" + (f".{draw.randrange(3)}" if form == "007.1" else "")
        for _ in range(rows)
    ]
    typed: Sequence[Any] = [int(text) for text in texts] if form == "19 digits" else texts
    return Column("ids", texts, typed, {*texts}.__contains__, {*typed}.__contains__)


def _phrases(draw: random.Random, rows: int) -> Column:
    cells = [" ".join(draw.choice(_WORDS[:4]) for _ in range(draw.randint(3, 5))) for _ in range(rows)]
    return Column("phrases", cells, cells, bool, bool)


KINDS = [
    _words,
    _words_and_signs,
    _pair,
    _whole,
    _floats_of_whole,
    _decimals,
    _comma,
    _dates,
    _ids,
    _phrases,
]


def _pattern(pattern: str) -> Fits:
    return lambda text: isinstance(text, str) and re.fullmatch(pattern, text) is not None


def _is_whole(value: Any) -> bool:
    return float(value).is_integer()


def _at_most(digits: int) -> Fits:
    return lambda value: round(float(value), digits) == float(value)


def columns(draw: random.Random) -> dict[str, Column]:
    """A table of some columns, some cells of which are holes."""
    rows = draw.randint(24, 60)
    table: dict[str, Column] = {}
    kinds = [_words, *draw.sample(KINDS, draw.randint(2, 5))]
    draw.shuffle(kinds)
    for place, kind in enumerate(kinds):
        whole = kind(draw, rows)
        share = draw.choice([0.0, 0.2, 0.5])
        holes = [draw.random() < share for _ in range(rows)]
        table[f"c{place}"] = Column(
            whole.kind,
            [None if hole else cell for hole, cell in zip(holes, whole.texts, strict=True)],
            [None if hole else cell for hole, cell in zip(holes, whole.values, strict=True)],
            whole.fits_text,
            whole.fits_value,
        )
    return table


def untrained_run(table: Path, reading: Reading) -> TrainedRun:
    """A run with fresh weights of the schema that `mmt init` writes for a table."""
    text = first_schema(table, table.with_name("schema.yaml"), reading, PLUGINS).text
    schema = parse_schema(read_yaml(text, "schema.yaml").data, folder=table.parent, plugins=PLUGINS)
    data = prepare(schema.data, schema.units)
    return TrainedRun.of_network(schema, build(schema.model, data.units, seed=0), data, PLUGINS)


class Format(ABC):
    """A format of tables: it writes one, has it filled, and checks the new table."""

    @abstractmethod
    def check(self, table: dict[str, Column], folder: Path, draw: random.Random) -> int:
        """Write a table, fill it, raise if anything known has changed; the number of filled cells."""


def _check_fill(name: str, column: Column, fits: Fits, cell: Any) -> None:
    assert fits(cell), f"{name}: {cell!r} is no value of a column of {column.kind}"


class Text(Format):
    """CSV and its like, in every dialect."""

    def __init__(self, ending: str) -> None:
        self.ending = ending

    def check(self, table: dict[str, Column], folder: Path, draw: random.Random) -> int:
        delimiter = "\t" if self.ending == "tsv" else draw.choice(",;|\t")
        end = draw.choice(["\n", "\r\n"])
        quoting: Any = csv.QUOTE_ALL if draw.random() < 0.5 else csv.QUOTE_MINIMAL
        encoding = draw.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"])
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
        rows = len(next(iter(table.values())).texts)
        signs = [draw.choice(["", "", "NA", "NaN"]) for _ in range(rows)]
        cells = {
            name: [signs[row] if cell is None else cell for row, cell in enumerate(column.texts)]
            for name, column in table.items()
        }
        writer.writerows([[*table], *zip(*cells.values(), strict=True)])
        content = text.getvalue()
        if draw.random() < 0.3:
            content = content.removesuffix(end)
        try:
            data = content.encode(encoding)
        except UnicodeEncodeError:
            encoding, data = "utf-8", content.encode()
        path, out = folder / f"t.{self.ending}", folder / f"out.{self.ending}"
        path.write_bytes(data)
        reading = Reading(encoding="cp1252") if encoding == "cp1252" else Reading()
        run = untrained_run(path, reading)
        impute_table(run, UserFile.for_run(run, {}, path=path), out)
        new = out.read_bytes()
        assert new[:2] == data[:2] or encoding.startswith("utf-8"), "the byte order mark has changed"
        before, after = _records(content, delimiter), _records(new.decode(encoding), delimiter)
        if encoding == "utf-8":
            assert not new.startswith(b"\xef\xbb\xbf")
        assert len(before) == len(after)
        assert before[0] == after[0], "the head has changed"
        fills = 0
        names = [*table]
        for row, (old, now) in enumerate(zip(before[1:], after[1:], strict=True)):
            assert len(old) == len(now)
            assert old[-1] == now[-1], f"row {row}: the line end has changed"
            for place, (cell, filled) in enumerate(zip(old[:-1], now[:-1], strict=True)):
                column = table[names[place]]
                if filled == cell:
                    continue
                assert self._is_hole(run, names[place], _value(cell)), (names[place], cell, filled)
                assert not self._is_hole(run, names[place], _value(filled)), (names[place], cell, filled)
                _check_fill(names[place], column, column.fits_text, _value(filled))
                fills += 1
        return fills

    @staticmethod
    def _is_hole(run: TrainedRun, column: str, text: str) -> bool:
        """Whether a text means a missing cell, as the schema says."""
        reading = run.source.reading()
        assert reading is not None
        signs = {*reading.signs(has_null=False)}
        for name, modality in run.modalities.items():
            if column in modality.source_columns(name):
                signs |= {*(modality.missing or ())}
        return text in signs


def _records(text: str, delimiter: str) -> list[list[str]]:
    """The raw cells of each record, quotes and all, then its line end; a slow automaton of our own."""
    records: list[list[str]] = []
    cells: list[str] = []
    cell, quoted, place = "", False, 0
    while place < len(text):
        letter = text[place]
        if quoted:
            cell += letter
            if letter == '"':
                if text[place + 1 : place + 2] == '"':
                    cell += '"'
                    place += 1
                else:
                    quoted = False
        elif letter == '"' and not cell:
            cell, quoted = '"', True
        elif letter == delimiter:
            cells.append(cell)
            cell = ""
        elif letter in "\r\n":
            end = "\r\n" if text[place : place + 2] == "\r\n" else letter
            records.append([*cells, cell, end])
            cells, cell = [], ""
            place += len(end) - 1
        else:
            cell += letter
        place += 1
    if cell or cells:
        records.append([*cells, cell, ""])
    return records


def _value(raw: str) -> str:
    return raw[1:-1].replace('""', '"') if raw.startswith('"') else raw


class Json(Format):
    """JSON Lines."""

    def check(self, table: dict[str, Column], folder: Path, draw: random.Random) -> int:
        rows = len(next(iter(table.values())).values)
        lines = []
        for row in range(rows):
            cells = {name: column.values[row] for name, column in table.items()}
            left_out = {name for name in cells if cells[name] is None and draw.random() < 0.3}
            shown = {n: str(c) if isinstance(c, date) else c for n, c in cells.items() if n not in left_out}
            lines.append(
                json.dumps(shown, ensure_ascii=draw.random() < 0.5, separators=draw.choice([(",", ":"), None]))
            )
        path, out = folder / "t.jsonl", folder / "out.jsonl"
        content = "\n".join(lines) + draw.choice(["\n", ""])
        path.write_text(content, encoding="utf-8", newline="")
        run = untrained_run(path, Reading())
        impute_table(run, UserFile.for_run(run, {}, path=path), out)
        new = out.read_text(encoding="utf-8")
        assert new.endswith("\n") == content.endswith("\n")
        fills = 0
        for old_line, new_line in zip(lines, new.removesuffix("\n").split("\n"), strict=True):
            old, now = json.loads(old_line), json.loads(new_line)
            assert [*now][: len(old)] == [*old]
            for name, cell in now.items():
                if old.get(name) is not None:
                    assert repr(cell) == repr(old[name])
                elif cell is not None:
                    column = table[name]
                    _check_fill(name, column, column.fits_value, cell)
                    _check_type(name, column, cell)
                    fills += 1
            if old == now:
                assert old_line == new_line
        return fills


def _check_type(name: str, column: Column, cell: Any) -> None:
    types = {str if isinstance(value, date) else type(value) for value in column.values if value is not None}
    assert type(cell) in types, f"{name}: {cell!r} is no {types}"


class Typed(Format):
    """Parquet and Arrow files."""

    def __init__(self, ending: str) -> None:
        self.ending = ending

    def check(self, table: dict[str, Column], folder: Path, draw: random.Random) -> int:
        arrays = {name: _array(column, draw) for name, column in table.items()}
        old = pa.table(arrays).replace_schema_metadata({"owner": "me"})
        path, out = folder / f"t.{self.ending}", folder / f"out.{self.ending}"
        if self.ending == "parquet":
            pa.parquet.write_table(old, path, row_group_size=draw.choice([7, 100]))
        else:
            pa.feather.write_feather(old, path)
        run = untrained_run(path, Reading())
        impute_table(run, UserFile.for_run(run, {}, path=path), out)
        read = pa.parquet.read_table if self.ending == "parquet" else pa.feather.read_table
        new = read(out)
        assert new.schema.metadata is not None
        assert new.schema.metadata[b"owner"] == b"me"
        for field in old.schema:
            assert new.schema.field(field.name).type == field.type or field.type == pa.null()
        assert new.column_names == old.column_names
        return sum(
            _compare(name, column, old[name].to_pylist(), new[name].to_pylist()) for name, column in table.items()
        )


def _array(column: Column, draw: random.Random) -> pa.Array:
    array = pa.array(column.values)
    if pa.types.is_string(array.type) and draw.random() < 0.3:
        return array.dictionary_encode()
    if pa.types.is_integer(array.type) and column.kind == "whole" and draw.random() < 0.3:
        return array.cast(pa.float64())
    return array


def _compare(name: str, column: Column, old: Sequence[Any], new: Sequence[Any]) -> int:
    """Raise if a known cell has changed or a filled one does not fit; the number of filled cells."""
    fills = 0
    for before, after in zip(old, new, strict=True):
        if not _absent(before):
            assert repr(after) == repr(before), f"{name}: {before!r} has become {after!r}"
        elif not _absent(after):
            _check_fill(name, column, column.fits_value, after)
            fills += 1
    return fills


def _absent(cell: Any) -> bool:
    import pandas

    return cell is None or cell is pandas.NA or cell is pandas.NaT or (isinstance(cell, float) and math.isnan(cell))


class Frame(Format):
    """Frames in memory: pandas or polars. `mmt init` sees them as Parquet."""

    def __init__(self, library: str) -> None:
        self.library = library

    def check(self, table: dict[str, Column], folder: Path, draw: random.Random) -> int:
        arrow = pa.table({name: _array(column, draw) for name, column in table.items()})
        path = folder / "t.parquet"
        pa.parquet.write_table(arrow, path)
        run = untrained_run(path, Reading())
        if self.library == "pandas":
            return self._pandas(run, table, arrow, draw)
        import polars

        frame = polars.from_arrow(arrow)
        assert isinstance(frame, polars.DataFrame)
        filled = run.impute(frame)
        assert filled.columns == frame.columns
        assert [d for d in filled.dtypes if d != polars.Null] == [d for d in frame.dtypes if d != polars.Null]
        return sum(_compare(n, c, frame[n].to_list(), filled[n].to_list()) for n, c in table.items())

    @staticmethod
    def _pandas(run: TrainedRun, table: dict[str, Column], arrow: pa.Table, draw: random.Random) -> int:
        import pandas

        frame = arrow.to_pandas()
        frame.index = pandas.Index([f"r{7 * row % len(frame)}" for row in range(len(frame))], name="key")
        frame.attrs["owner"] = "me"
        if draw.random() < 0.5:
            frame = frame.convert_dtypes()
            frame.attrs["owner"] = "me"
        before = frame.copy()
        filled = run.impute(frame)
        pandas.testing.assert_frame_equal(frame, before)
        assert filled.attrs["owner"] == "me"
        assert filled.index.equals(frame.index)
        assert [*filled.columns] == [*frame.columns]
        for name in frame.columns:
            if not frame[name].isna().all():
                if isinstance(frame[name].dtype, pandas.CategoricalDtype):
                    assert isinstance(filled[name].dtype, pandas.CategoricalDtype)
                else:
                    assert filled[name].dtype == frame[name].dtype, name
        return sum(_compare(n, c, [*frame[n]], [*filled[n]]) for n, c in table.items())


FORMATS: dict[str, Format] = {
    "csv": Text("csv"),
    "tsv": Text("tsv"),
    "jsonl": Json(),
    "parquet": Typed("parquet"),
    "arrow": Typed("arrow"),
    "pandas": Frame("pandas"),
    "polars": Frame("polars"),
}


def case(name: str, draw: random.Random, folder: Path) -> int:
    """Draw a table, fill it in a format, raise if anything known has changed; the number of filled cells."""
    table = columns(draw)
    try:
        return FORMATS[name].check(table, folder, draw)
    except UserError as error:
        if "no column can be used" not in str(error):
            raise AssertionError(str(error)) from error
        return 0
