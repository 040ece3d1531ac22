"""Compressed text: read and written by its ending, and refused in a line that names the file."""

from __future__ import annotations

import bz2
import gzip
import os
import random
from pathlib import Path

import pyarrow as pa
import pytest

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.first_schema import name_of
from mmtoolkit.tables import open_table
from mmtoolkit.tables.compression import CODECS, read_bytes, unpacked, write_bytes
from mmtoolkit.tables.writing import fields_of, new_table

TEXTS = {
    ".csv": 'a,b\r\n1,"x, ""y"""\r\n3,\r\n',
    ".tsv": "a\tb\n1\tx\n3\t\n",
    ".jsonl": '{"a": 1, "b": "x"}\n\n{"a": 3.0}',
    ".json": '[{"a": 1, "b": "x"},\n {"a": 3.0}]',
}


def packed(path: Path, content: bytes) -> Path:
    with write_bytes(path, path) as file:
        file.write(content)
    return path


def test_files_of_other_programs_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"))
    (tmp_path / "T.CSV.BZ2").write_bytes(bz2.compress(b"a,b\n1,2\n") + bz2.compress(b"3,4\n"))
    (tmp_path / "t.csv.zst").write_bytes(pa.compress(b"a,b\n1,2\n3,4\n", "zstd", asbytes=True))
    for path in tmp_path.iterdir():
        assert open_table(path).column("b") == ["2", "4"]


def test_what_is_written_is_what_other_programs_read(tmp_path: Path) -> None:
    content = os.urandom(300_000) + bytes(300_000)
    assert gzip.decompress(packed(tmp_path / "t.gz", content).read_bytes()) == content
    assert bz2.decompress(packed(tmp_path / "t.bz2", content).read_bytes()) == content
    assert len(packed(tmp_path / "t.zst", content).read_bytes()) < 310_000


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("ending", TEXTS)
def test_text_comes_back_as_it_was(tmp_path: Path, ending: str, codec: str) -> None:
    table = open_table(packed(tmp_path / f"t{ending}{codec}", TEXTS[ending].encode()))
    assert [str(cell) for cell in table.column("a")] == [str(cell) for cell in (["1", "3"], [1, 3.0])["j" in ending]]
    out = tmp_path / f"u{ending}{codec.upper()}"
    with new_table(out, fields_of(table), table) as writer:
        for rows in table.rows(1):
            writer.write(rows.raw, rows.lines)
    assert out.read_bytes() != read_bytes(out).read()
    if ending != ".csv":  # its quotes
        assert read_bytes(out).read().decode() == TEXTS[ending]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("ending", TEXTS)
def test_a_damaged_file_is_refused(tmp_path: Path, ending: str, codec: str) -> None:
    path = packed(tmp_path / f"t{ending}{codec}", TEXTS[ending].encode() * 1000)
    whole, draw = path.read_bytes(), random.Random(0)
    faults: list[str] = []
    for _ in range(30):
        at = draw.randrange(len(whole))
        path.write_bytes(draw.choice([whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]]))
        faults.append(fault_of(path))
    assert sum(map(bool, faults)) > 15
    assert all(str(path) in fault and "; " in fault for fault in faults if fault)


def fault_of(path: Path) -> str:
    try:
        open_table(path).column("a")
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("codec", CODECS)
def test_a_wrong_ending_is_named(tmp_path: Path, codec: str) -> None:
    path = packed(tmp_path / f"t.csv{codec}", b"a,b\n1,2\n").rename(tmp_path / "t.csv")
    with pytest.raises(UserError) as raised:
        open_table(path)
    assert_facts(str(raised.value), f"{path}: holds", "data, not text", "; ", f".csv{codec}")
    plain = tmp_path / f"u.csv{codec}"
    plain.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="cannot be read"):
        open_table(plain)


def test_a_name_without_its_endings() -> None:
    for codec in ("", *CODECS, ".GZ"):
        assert name_of(Path(f"a.b.csv{codec}")) == "a.b"
    assert unpacked(Path(".gz")) == Path(".gz")
