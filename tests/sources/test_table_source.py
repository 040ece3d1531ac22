"""The source `table`: splits, groups, files next to the table, and reports of bad cells."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import assert_facts
from mmt_attributes import Label, Numeric
from mmt_image import Image
from mmtoolkit import Arrays, Modality, UserError, parse_schema, prepare
from mmtoolkit.sources.table import TableSource
from mmtoolkit.tables import FilesBeside
from runs import mmt, sets
from toys import EXAMPLES


def table(folder: Path, rows: Iterable[Sequence[Any]], head: str = "key,group", name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def keys(source: TableSource, split: str) -> list[int]:
    return [int(cell) for cell in source.load(split).column("key")]


# Splits.


@pytest.mark.slow
@EXAMPLES
@given(
    rows=st.integers(3, 60),
    shares=st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30)),
    seed=st.integers(0, 5),
)
def test_shares_cut_the_rows_once_for_a_seed(
    tmp_path_factory: pytest.TempPathFactory, rows: int, shares: tuple[int, ...], seed: int
) -> None:
    path = table(tmp_path_factory.mktemp("t"), [(i, "") for i in range(rows)])
    total = sum(shares)
    split = {name: n / total for name, n in zip(("train", "valid", "test"), shares, strict=True)}
    keys_by_split = {name: keys(TableSource(path=path, split=split, split_seed=seed), name) for name in split}
    assert sorted(key for part in keys_by_split.values() for key in part) == list(range(rows))
    assert all(part == sorted(part) for part in keys_by_split.values())
    for name, part in keys_by_split.items():
        assert part
        assert abs(len(part) - split[name] * rows) <= 2
    assert keys_by_split == {name: keys(TableSource(path=path, split=split, split_seed=seed), name) for name in split}


def test_another_seed_cuts_otherwise_and_the_default_is_eight_one_one(tmp_path: Path) -> None:
    path = table(tmp_path, [(i, "") for i in range(100)])
    one, other = TableSource(path=path), TableSource(path=path, split_seed=1)
    assert one.splits() == ("train", "valid", "test")
    assert [len(one.load(split)) for split in one.splits()] == [80, 10, 10]
    assert keys(one, "test") != keys(other, "test")
    assert keys(one, "test") != list(range(90, 100))


@EXAMPLES
@given(groups=st.lists(st.integers(0, 5), min_size=12, max_size=50), seed=st.integers(0, 3))
def test_a_group_is_in_one_split(tmp_path_factory: pytest.TempPathFactory, groups: list[int], seed: int) -> None:
    groups = [0, 1, 2, *groups]
    path = table(tmp_path_factory.mktemp("t"), enumerate(groups))
    source = TableSource(path=path, group="group", split_seed=seed)
    groups_by_split = {split: {groups[key] for key in keys(source, split)} for split in source.splits()}
    assert all(groups_by_split.values())
    assert sum(map(len, groups_by_split.values())) == len(set(groups))


def test_a_row_without_a_group_stands_for_itself(tmp_path: Path) -> None:
    source = TableSource(path=table(tmp_path, [(i, "" if i % 2 else "a") for i in range(40)]), group="group")
    of_a = [split for split in source.splits() if any(key % 2 == 0 for key in keys(source, split))]
    assert len(of_a) == 1
    assert Counter(split for split in source.splits() for _ in keys(source, split)).total() == 40


def test_a_column_names_the_splits(tmp_path: Path) -> None:
    rows = [(0, "test"), (1, "val"), (2, "train"), (3, ""), (4, "Training"), (5, "holdout")]
    source = TableSource(path=table(tmp_path, rows), split="group")
    assert source.splits() == ("train", "valid", "test", "holdout")
    assert {split: keys(source, split) for split in source.splits()} == {
        "train": [2, 4],
        "valid": [1],
        "test": [0],
        "holdout": [5],
    }
    (note,) = source.notes()
    assert_facts(note, "1 row is left out", "column group")
    assert source.place("train", 1) == f"{source.path}, row 5"


def test_a_file_for_each_split(tmp_path: Path) -> None:
    train = table(tmp_path, [(0, ""), (1, "")], name="a.csv")
    test = table(tmp_path, [(2, "")], name="b.csv")
    source = TableSource(path={"train": train, "test": test})
    assert source.splits() == ("train", "test")
    assert (keys(source, "train"), keys(source, "test")) == ([0, 1], [2])
    assert source.place("test", 0) == f"{test}, row 1"
    assert source.files() == [train, test]


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"split": {"test": 1}}, ("split ", "no share for train", "; add")),
        ({"split": {"train": 0.5, "test": 0.4}}, ("shares of split", "0.9", "; ", "1")),
        ({"split": "a", "group": "b"}, ("split", "column", "group", "; remove one")),
        ({"path": {"test": "a.csv"}}, ("path", "train", "; add train: FILE")),
        ({"path": {"train": "a.csv"}, "group": "b"}, ("split and group", "one file", "path", "; remove")),
        ({"delimiter": "\n"}, ("separate cells",)),
        ({"encoding": "klingon"}, ("encoding 'klingon'",)),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], facts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="validation error") as raised:
        TableSource.model_validate({"path": "a.csv", **options})
    assert_facts(str(raised.value), *facts)


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({}, ("t.csv: ", "2 rows", "3 splits train, valid, test", "; add rows", "fewer splits")),
        ({"group": "group"}, ("t.csv: ", "1 groups of rows by group", "3 splits")),
        ({"group": "x"}, ("t.csv: ", "no column 'x'", "; correct data.group", "key, group")),
        ({"split": "x"}, ("t.csv: ", "no column 'x'", "; correct data.split", "key, group")),
        ({"split": "group"}, ("t.csv, column group: ", " g,", "no split train", "; ")),
    ],
)
def test_splits_that_cannot_be_made(tmp_path: Path, options: dict[str, Any], facts: tuple[str, ...]) -> None:
    source = TableSource(path=table(tmp_path, [(0, "g"), (1, "g")]), **options)
    with pytest.raises(UserError) as raised:
        source.load(source.splits()[0])
    assert_facts(str(raised.value), *facts)


def test_a_column_with_too_many_splits(tmp_path: Path) -> None:
    source = TableSource(path=table(tmp_path, [(i, i) for i in range(20)]), split="group")
    with pytest.raises(UserError, match=r"t.csv, column group: .*more than 10 values.*; correct data.split"):
        source.splits()


# What modalities read.


def prepared(folder: Path, modalities: dict[str, Modality], **options: Any) -> Any:
    return prepare(TableSource(path=folder / "t.csv", split={"train": 1}, **options), modalities)


def test_missing_cells_are_missing(tmp_path: Path) -> None:
    table(tmp_path, [("1.5", "a"), ("", "NA"), ("nan", "b"), ("?", "a")])
    dataset = prepared(tmp_path, {"key": Numeric(), "group": Label()}, missing=["", "NA", "?"])
    assert dataset.splits["train"].present.tolist() == [[True, True], [False, False], [False, True], [False, True]]
    assert dataset.modalities["group"].classes == ("a", "b")


def test_the_list_that_every_schema_of_0_1_has_is_the_default(tmp_path: Path) -> None:
    usual = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"]
    for source in (TableSource(path=tmp_path / "t.csv", missing=usual), Arrays.of({"a": [1]}, missing=usual)):
        assert source.missing is None
        assert source.reading().signs(has_null=True) == ()
        assert source.reading().signs(has_null=False) == tuple(usual)
    for other in ([], ["NA"], usual[1:], [*usual, "?"]):
        source = TableSource(path=tmp_path / "t.csv", missing=other)
        for has_null in (True, False):
            assert source.reading().signs(has_null) == tuple(other)


def test_a_bad_cell_is_reported_with_file_row_and_column(tmp_path: Path) -> None:
    path = table(tmp_path, [("1", "a"), ("x", "b"), ("2", "c")])
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, {"key": Numeric(), "kind": Label(column="group", classes=("a", "b"))})
    number, label = caught.value.faults
    assert_facts(number, f"{path}, row 2, column key: 'x'", "number", "data.on_bad_cell to missing")
    assert_facts(label, f"{path}, row 3, column group: 'c'", "a, b", "data.on_bad_cell to missing")
    dataset = prepared(
        tmp_path, {"key": Numeric(), "kind": Label(column="group", classes=("a", "b"))}, on_bad_cell="missing"
    )
    assert dataset.splits["train"].present.tolist() == [[True, True], [False, True], [True, False]]
    assert_facts(dataset.notes[0], "train, column key: ", "1 of 3 cells", "missing", f"{path}, row 2: 'x'", "number")


def test_a_column_that_is_not_there_and_one_that_is_all_missing(tmp_path: Path) -> None:
    table(tmp_path, [("1", ""), ("2", "")])
    with pytest.raises(UserError, match=r"no column 'keys'.*'key'"):
        prepared(tmp_path, {"keys": Numeric()})
    with pytest.raises(UserError, match="column group"):
        prepared(tmp_path, {"key": Numeric(), "group": Label()})


def test_a_changed_table_is_read_again(tmp_path: Path) -> None:
    path = table(tmp_path, [("1", "a"), ("2", "b")])
    assert prepared(tmp_path, {"key": Numeric()}).splits["train"].stored["key"].tolist() == [1.0, 2.0]
    table(tmp_path, [("1", "a"), ("3", "b")])
    os.utime(path, ns=(1, 1))
    assert prepared(tmp_path, {"key": Numeric()}).splits["train"].stored["key"].tolist() == [1.0, 3.0]


# Files beside the table.

PICTURE = Image(shape=(1, 8, 8), network="mlp")


def picture(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("L", (8, 8), grey).save(path)


def pictures(folder: Path, *cells: str, **options: Any) -> Any:
    folder.mkdir(exist_ok=True)
    table(folder, [(cell, 0) for cell in cells])
    dataset = prepared(folder, {"key": PICTURE}, **options)
    split = dataset.splits["train"]
    stored = split.stored["key"]
    return [int(stored[i, 0, 0, 0]) if there else None for i, there in enumerate(split.present[:, 0])], dataset.notes


def fault_of(folder: Path, *cells: str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        pictures(folder, *cells, **options)
    return str(caught.value).replace(str(folder), "FOLDER")


def test_pictures_are_found_beside_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    picture(folder / "a.png", 10)
    picture(folder / "more" / "ü b.png", 20)
    monkeypatch.chdir("/")
    assert pictures(folder, "a.png", "", "more/ü b.png", "./more/../a.png")[0] == [10, None, 20, 10]
    assert pictures(folder, str(folder / "a.png"))[0] == [10]


def test_a_picture_that_changes_is_read_again(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10)
    assert pictures(tmp_path, "a.png")[0] == [10]
    before = (tmp_path / "t.csv").stat()
    picture(tmp_path / "a.png", 11)
    os.utime(tmp_path / "a.png", ns=(5, 5))
    os.utime(tmp_path / "t.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert prepared(tmp_path, {"key": PICTURE}).splits["train"].stored["key"][0, 0, 0, 0] == 11


def test_a_picture_outside_the_folder_is_refused_unless_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    picture(tmp_path / "outside.png", 30)
    picture(folder / "a.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "out").symlink_to(tmp_path)
    (folder / "inside.png").symlink_to(folder / "a.png")
    for cell in ("../outside.png", str(tmp_path / "outside.png"), "link.png", "out/outside.png", "../gone.png"):
        line = fault_of(folder, "a.png", cell)
        place = f"FOLDER/t.csv, row 2, column key: {cell.replace(str(folder), 'FOLDER')}: "
        assert_facts(line, place, "FOLDER", "; move", "data.files_outside to true", "data.on_bad_cell to missing")
    assert pictures(folder, "inside.png")[0] == [0]
    assert pictures(folder, "../outside.png", "link.png", files_outside=True)[0] == [30, 30]
    values, notes = pictures(folder, "a.png", "link.png", on_bad_cell="missing")
    assert values == [0, None]
    assert_facts(notes[0], "1 of 2 cells", "missing")


@pytest.mark.parametrize(
    ("cell", "facts"),
    [
        ("gone.png", ("gone.png: ", "no such file", "FOLDER", "; correct the path")),
        ("a.png/b", ("a.png/b: ", "no such file", "FOLDER")),
        ("sub", ("sub: ", "folder", "; ", "file")),
        (".", (".: ", "folder")),
        ("loop.png", ("loop.png: ", "symbolic links", "; correct the path")),
        ("x" * 300, ("File name too long",)),
        ("zero.png", ("FOLDER/zero.png: ", "picture")),
        ("half.png", ("FOLDER/half.png: ", "picture")),
        pytest.param("bomb.png", ("FOLDER/bomb.png: ", "pixels", "; make it smaller"), marks=pytest.mark.slow),
    ],
)
def test_files_that_are_no_pictures(tmp_path: Path, cell: str, facts: tuple[str, ...]) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "sub").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "zero.png").write_bytes(b"")
    noise = np.random.default_rng(0).integers(0, 255, (50, 50), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    PIL.Image.new("1", (50_000, 50_000)).save(tmp_path / "bomb.png") if cell == "bomb.png" else None
    line = fault_of(tmp_path, "a.png", cell)
    assert line.startswith("FOLDER/t.csv, row 2, column key: ")
    assert_facts(line, *facts)
    assert pictures(tmp_path, "a.png", cell, on_bad_cell="missing")[0] == [0, None]


def test_absent_files_may_count_as_missing(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10)
    values, notes = pictures(tmp_path, "a.png", "gone.png", absent_files="missing")
    assert values == [10, None]
    assert notes == []


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    cells, faults = FilesBeside(tmp_path).opened(["a\ud800.png", "a\0b.png", None, 3])
    assert cells == [None, None, None, 3]
    assert_facts(faults[0], "'a\\ud800.png': ", "; correct")
    assert "a\0b.png" in faults[1] or "null byte" in faults[1]


# From the command line.


def test_paths_are_relative_to_the_schema_and_rows_can_be_few(tmp_path: Path) -> None:
    table(tmp_path, [(i, "ab"[i % 2]) for i in range(60)])
    (tmp_path / "s.yaml").write_text(
        "name: s\ndata: {kind: table, path: t.csv}\nmodalities: {key: {kind: numeric}, group: {kind: label}}\n"
        "model: {kind: mvae, latent_dim: 2}\n"
    )
    ended = mmt("check", tmp_path / "s.yaml", *sets("data.rows={train: 20}"), "--json")
    assert ended.status == 0
    assert '"rows": 20' in ended.out
    broken = mmt("check", tmp_path / "s.yaml", *sets("data.path=none.csv"))
    assert broken.status == 2
    assert "none.csv: cannot be read: No such file or directory; put it there, or correct data" in broken.err
    ragged = table(tmp_path, [(1,), (2, "a", "b")], name="ragged.csv")
    broken = mmt("check", tmp_path / "s.yaml", *sets("data.path=ragged.csv"))
    assert broken.status == 2
    assert broken.err.splitlines() == [
        f"{ragged}:2: row 1 has 1 cell and the head 2; mend the line: a cell that holds ',' or a line break stands in "
        "quotes",
        f"{ragged}:3: row 2 has 3 cells and the head 2; mend the line: a cell that holds ',' or a line break stands in "
        "quotes",
    ]


def test_the_schema_keeps_what_it_was_told(tmp_path: Path) -> None:
    table(tmp_path, [(0, "a")])
    schema = parse_schema(
        {
            "name": "s",
            "data": {"kind": "table", "path": "t.csv", "split": {"train": 1}, "delimiter": ","},
            "modalities": {"key": {"kind": "numeric"}},
            "model": {"kind": "mvae"},
        },
        folder=tmp_path,
    )
    assert isinstance(schema.data, TableSource)
    assert schema.data.path == tmp_path / "t.csv"
    assert TableSource.model_validate_json(schema.data.model_dump_json()) == schema.data
    assert schema.data.reading().delimiter == ","
