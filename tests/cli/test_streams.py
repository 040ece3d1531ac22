"""Tables on standard input and output, and paths that are no files."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.cli import application
from mmtoolkit.cli.streams import table_streams
from runs import assert_refused, mmt
from table_runs import read_csv, truth, with_holes, write_csv


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table with holes, in the current folder with its pictures."""
    monkeypatch.chdir(tmp_path)
    rows = with_holes(truth(12, tmp_path, 5), 0.4)
    return write_csv(tmp_path / "new.csv", [row | {"photo": f"pictures/{place}.png"} for place, row in enumerate(rows)])


def piped(content: bytes, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mmtoolkit", *map(str, words)]
    return subprocess.run(command, input=content, capture_output=True, timeout=300, check=False)


def piped_here(content: bytes, *words: str | Path) -> bytes:
    """What the command line in this process writes on standard output."""
    result = CliRunner().invoke(application(), list(map(str, words)), input=content, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout_bytes


@pytest.mark.slow
def test_a_table_goes_through_a_pipe(things: Path, new: Path) -> None:
    done = piped(new.read_bytes(), "impute", things, "-", "--out", "-")
    assert done.returncode == 0, done.stderr
    assert mmt("impute", things, new, "--out", "filled.csv").status == 0
    assert done.stdout == Path("filled.csv").read_bytes()
    assert_facts(done.stderr.decode(), "filled ", "of price")
    assert "mmt-" not in done.stderr.decode()
    done = piped(new.read_bytes(), "embed", things, "-", "--out", "z.csv", "--keep", "id")
    assert done.stdout == b"z.csv\n"
    assert len(read_csv(Path("z.csv"))) == 12


@pytest.mark.slow
def test_each_format_is_known_by_its_first_bytes(things: Path, new: Path) -> None:
    rows: list[dict[str, Any]] = [{"photo": "pictures/0.png", "price": 2.5}, {"photo": "pictures/1.png", "price": None}]
    table = pa.Table.from_pylist(rows)
    pa.parquet.write_table(table, parquet := io.BytesIO())
    with pa.ipc.new_file(arrow := io.BytesIO(), table.schema) as file:
        file.write_table(table)
    with pa.ipc.new_stream(stream := io.BytesIO(), table.schema) as file:
        file.write_table(table)
    book = openpyxl.Workbook()
    for cells in (table.column_names, *(list(row.values()) for row in rows)):
        book.active.append(cells)
    book.save(excel := io.BytesIO())
    lines = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    for content, start, embedded in (
        (parquet.getvalue(), b"PAR1", b"PAR1"),
        (arrow.getvalue(), b"ARROW1", b"ARROW1"),
        (stream.getvalue(), b"ARROW1", b"ARROW1"),
        (excel.getvalue(), b"PK", b"PK"),
        (json.dumps(rows).encode(), b'[{"photo": "pictures/0.png", "price": 2.5', b'[\n{"mean_0"'),
        (lines, b'{"photo": "pictures/0.png", "price": 2.5', b'{"mean_0"'),
        (gzip.compress(lines), b'{"photo": "pictures/0.png", "price": 2.5', b'{"mean_0"'),
        (b"\xef\xbb\xbf" + lines, b'\xef\xbb\xbf{"photo": "pictures/0.png"', b'{"mean_0"'),
        (b"photo;price\npictures/0.png;2.5\npictures/1.png;\n", b"photo;price", b"mean_0,"),
    ):
        for command, expected in (("impute", start), ("embed", embedded)):
            done = piped_here(content, command, things, "-", "--out", "-")
            assert done.startswith(expected), done[:50]


@pytest.mark.slow
def test_the_format_of_standard_input_may_be_named(things: Path, new: Path) -> None:
    text = piped_here(
        b"photo\tprice\npictures/0.png\t\n", "impute", things, "-", "--out", "-", "--set", "data.format=csv"
    )
    assert text.startswith(b"photo\tprice")
    done = piped(b"{1}\n", "impute", things, "-", "--out", "-", "--set", "data.format=csv")
    assert_facts(done.stderr.decode(), "standard input: ", "columns", "{1}")


@pytest.mark.slow
def test_faults_name_standard_input(things: Path, new: Path) -> None:
    done = piped(b"price,photo\n1\n", "evaluate", things, "-")
    assert_facts(done.stderr.decode(), "standard input:2: ", "; ")
    done = piped(b"price\nx\n", "embed", things, "-", "--out", "-", "--on-bad-cell", "error")
    assert_facts(done.stderr.decode(), "standard input, row 1, column price: ", "; ")
    assert done.stdout == b""
    done = piped(b"price\n1\n", "impute", things, "-", "--out", "-")
    assert_facts(done.stderr.decode(), "--out -: pictures", "; ", "--out FILE")
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.slow
def test_scores_name_standard_input(things: Path, new: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(things, tmp_path / "run")
    done = piped(new.read_bytes(), "evaluate", copy, "-", "--json", "--set", "evaluate=[{kind: elbo}]")
    document = json.loads(done.stdout)
    assert (document["table"], document["scores"][0]["split"]) == ("standard input", "standard input")
    assert "mmt-" not in done.stderr.decode() + (copy / "evaluations" / "1.json").read_text()


@pytest.mark.slow
def test_a_file_goes_to_standard_output(things: Path, new: Path) -> None:
    done = piped(b"", "impute", things, new, "--out", "-")
    assert done.stdout.startswith(b"id,photo")
    (new.parent / "new.csv.gz").write_bytes(gzip.compress(new.read_bytes()))
    assert piped(b"", "impute", things, new.parent / "new.csv.gz", "--out", "-").stdout == done.stdout


@pytest.mark.slow
def test_a_terminal_is_no_table(things: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    with pytest.raises(UserError) as raised, table_streams(Path("-")):
        pass
    assert_facts(str(raised.value), "standard input: is a terminal; ", "path")


# Paths that are no files.


@pytest.mark.slow
@pytest.mark.parametrize("command", [("impute", "--out", "x.csv"), ("embed", "--out", "x.csv"), ("evaluate",)])
def test_addresses_and_pipes_are_named(things: Path, new: Path, command: tuple[str, ...]) -> None:
    os.mkfifo("pipe.csv")
    words = (command[0], things)
    assert_refused(
        mmt(*words, "https://a.org/x.csv", *command[1:]),
        ["https://a.org/x.csv: is an address, not a file; ", "download", "curl -LO"],
    )
    assert_refused(mmt(*words, "s3://a/x.parquet", *command[1:]), ["s3://a/x.parquet: is an address", "; ", "download"])
    assert_refused(mmt(*words, "pipe.csv", *command[1:]), ["pipe.csv: is a pipe", "once; ", "give -", "save it"])
    assert not Path("x.csv").exists()


@pytest.mark.slow
def test_an_address_is_no_output(things: Path, new: Path) -> None:
    done = mmt("impute", things, new, "--out", "s3://a/x.csv")
    assert_refused(done, ["s3://a/x.csv: is an address, not a file; ", "write to a file"])
    assert not Path("s3:").exists()


def test_a_first_schema_needs_a_file(new: Path) -> None:
    os.mkfifo("pipe.csv")
    assert_refused(mmt("init", "https://a.org/x.csv"), ["https://a.org/x.csv: is an address", "; ", "download"])
    assert_refused(mmt("init", "-"), ["-: standard input", "; ", "save it to a file"])
    assert_refused(mmt("init", "pipe.csv"), ["pipe.csv: is a pipe", "; ", "save it to a file"])


def test_a_schema_names_files(things: Path, new: Path) -> None:
    schema = read_schema_text(things).replace("things.csv", "PATH")
    os.mkfifo("pipe.csv")
    for path, fact in (("https://a.org/x.csv", "is an address"), ("pipe.csv", "is a pipe")):
        for value in (path, f"{{train: {path}}}"):
            Path("s.yaml").write_text(
                schema.replace("PATH", value).replace("split: {train: 0.8, valid: 0.1, test: 0.1}, ", "")
            )
            assert_refused(mmt("check", "s.yaml"), ["s.yaml:2: data.path: ", path, fact, "; "])


def read_schema_text(things: Path) -> str:
    return (things.parent / "things.yaml").read_text()
