"""Several jobs impute and embed a folder of Parquet files, each a share of the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from mmtoolkit.base.errors import UserError
from mmtoolkit.tables import open_table
from mmtoolkit.tables.shard import Shard
from runs import assert_refused, mmt
from table_runs import truth, with_holes

NAMES = [f"{letter}.parquet" for letter in "abcde"]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Five files of four rows each, without pictures; no row of the second has a price."""
    folder = tmp_path / "parts"
    folder.mkdir()
    rows = with_holes(truth(20, tmp_path, 5), 0.4)
    whole = pa.Table.from_pylist([row | {"price": None} if 4 <= at < 8 else row for at, row in enumerate(rows)])
    whole = whole.set_column(whole.schema.get_field_index("photo"), "photo", pa.nulls(20, pa.string()))
    for at, name in enumerate(NAMES):
        part = whole.slice(4 * at, 4)
        if at == 1:  # its writer knew no type of the column
            part = part.set_column(part.schema.get_field_index("price"), "price", pa.nulls(4))
        pa.parquet.write_table(part, folder / name)
    return folder


def tables(folder: Path) -> dict[str, pa.Table]:
    return {file.name: pa.parquet.read_table(file) for file in sorted(folder.iterdir())}


def cells(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each part, without the paths of new pictures."""
    return {name: table.drop_columns(["photo"]).to_pylist() for name, table in tables(folder).items()}


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--samples", "3")])
def test_shares_together_are_the_whole(options: tuple[str, ...], things: Path, parts: Path, tmp_path: Path) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    assert mmt("impute", things, parts, "--out", whole, *options).status == 0
    for share in ("2/3", "3/3", "1/3"):
        done = mmt("impute", things, parts, "--out", shared, "--shard", share, *options)
        assert done.status == 0, done.err
    assert list(tables(shared)) == NAMES
    assert cells(shared) == cells(whole)
    assert {table.schema for table in tables(shared).values()} == {tables(whole)["a.parquet"].schema}
    pictures = [Path(path) for table in tables(shared).values() for path in table["photo"].to_pylist()]
    assert len(set(pictures)) == 20
    assert all((tmp_path / path).exists() for path in pictures)


@pytest.mark.slow
@pytest.mark.parametrize("command", [("embed",), ("score", "--ranks", "table", "--samples", "5")])
def test_other_new_tables_come_in_parts(command: tuple[str, ...], things: Path, parts: Path, tmp_path: Path) -> None:
    name, *options = command
    words: list[str | Path] = [name, things, parts, "--keep", "id", *options]
    assert mmt(*words, "--out", tmp_path / "one.parquet").status == 0
    for share in ("1/2", "2/2"):
        done = mmt(*words, "--out", tmp_path / "new", "--shard", share)
        assert done.status == 0, done.err
    joined = pa.concat_tables(tables(tmp_path / "new").values())
    whole = pa.parquet.read_table(tmp_path / "one.parquet")
    # Ranks are those among the rows of the share.
    names = [column for column in whole.column_names if not column.endswith("_rank") and column != "suspicion"]
    assert joined.select(names).equals(whole.select(names))


def test_a_job_may_be_repeated_and_may_have_nothing_to_do(things: Path, parts: Path, tmp_path: Path) -> None:
    words = ("embed", things, parts, "--out", tmp_path / "z", "--shard", "2/9")
    assert mmt(*words).status == 0
    (tmp_path / "z" / "a.parquet").write_bytes(b"another job's")
    assert_refused(mmt(*words), [f"{tmp_path / 'z' / 'b.parquet'}: is there already", "--overwrite"])
    assert mmt(*words, "--overwrite").status == 0
    assert (tmp_path / "z" / "a.parquet").read_bytes() == b"another job's"
    assert mmt("impute", things, parts, "--out", tmp_path / "none", "--shard", "9/9").status == 0
    assert not list((tmp_path / "none").iterdir())


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (("parts", "--out", "z", "--shard", "0/3"), ["--shard 0/3: there is no such share", "from 1"]),
        (("parts", "--out", "z", "--shard", "4/3"), ["--shard 4/3: there is no such share", "from 1"]),
        (("parts", "--out", "z", "--shard", "two"), ["--shard two: is no share", "such as 2/8"]),
        (
            ("parts", "--out", "z.parquet", "--shard", "1/3"),
            ["--shard 1/3: every job would write the file", "--out DIR"],
        ),
        (
            ("parts/a.parquet", "--out", "z", "--shard", "1/3"),
            ["--shard 1/3: ", "a.parquet is one file; give a folder"],
        ),
        (("-", "--out", "z", "--shard", "1/3"), ["--shard 1/3: standard input", "; give a folder"]),
    ],
)
def test_what_has_no_shares(
    words: tuple[str, ...], facts: list[str], things: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(parts.parent)
    for command in ("impute", "embed"):
        assert_refused(mmt(command, things, *words), facts)


def test_a_file_alone_is_not_opened_by_shares(parts: Path) -> None:
    with pytest.raises(UserError, match=r"a\.parquet is one file"):
        open_table(parts / "a.parquet", shard=Shard(1, 2))
