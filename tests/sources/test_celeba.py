"""CelebA: rows of the official layout, parts of it, archives, and what is said of a release that is broken."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest
from PIL import Image

from faces import (
    ATTRIBUTES,
    NAMES,
    PARTITION,
    VALUES,
    attribute_lines,
    pack,
    partition_lines,
    write_lines,
    write_release,
)
from facts import assert_facts
from mmt_image import Image as ImageModality
from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue.shipped import data_cards, find_data_set, get_data_set
from mmtoolkit.data.dataset import prepare
from mmtoolkit.sources import CELEBA_ATTRIBUTES, CelebA
from mmtoolkit.sources.celeba_release import SPLITS

IMAGE = ImageModality(shape=(3, 64, 64))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_release(tmp_path / "celeba")


def fault(root: Path) -> str:
    with pytest.raises(UserError) as raised:
        CelebA(root=root).files()
    (line,) = raised.value.faults
    return line


def numbers(source: CelebA, split: str) -> list[int]:
    return [int(Path(cell).stem) for cell in source.load(split).column("image")]


# Rows.


def test_rows_are_those_of_the_lists(root: Path) -> None:
    source = CelebA(root=root)
    assert source.splits() == ("train", "valid", "test")
    for i, split in enumerate(source.splits()):
        rows = [row for row, place in enumerate(PARTITION) if int(place) == i]
        table = source.load(split)
        assert table.names == ("image", *ATTRIBUTES)
        assert len(table) == len(rows)
        assert list(table.column("image")) == [root / "img_align_celeba" / NAMES[row] for row in rows]
        for a, name in enumerate(ATTRIBUTES):
            cells = np.asarray(table.column(name))
            assert cells.dtype == np.int8
            assert cells.tolist() == VALUES[rows, a].tolist()
    assert source.notes() == []


def test_chunks_are_the_columns_in_parts(root: Path) -> None:
    table = CelebA(root=root).load("train")
    chunks = list(table.chunks(["Smiling", "image"], 4))
    assert [len(chunk["image"]) for chunk in chunks] == [len(chunk["Smiling"]) for chunk in chunks] == [4, 2]
    assert [cell for chunk in chunks for cell in chunk["image"]] == table.column("image")
    assert [cell for chunk in chunks for cell in chunk["Smiling"]] == list(table.column("Smiling"))


def test_few_rows_are_read_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmtoolkit.sources.celeba.MOST_ROWS", 5)
    assert [len(chunk["image"]) for chunk in CelebA(root=root).load("train").chunks(["image"], 4096)] == [5, 1]


def test_pictures_are_prepared(root: Path, own_cache: Path) -> None:
    train = prepare(CelebA(root=root), {"image": IMAGE}).splits["train"]
    for row, stored in enumerate(train.stored["image"]):
        with Image.open(root / "img_align_celeba" / NAMES[row]) as picture:
            assert np.array_equal(stored.permute(1, 2, 0).numpy(), np.asarray(picture)[7:71])


def test_the_eighteen_attributes_and_where_they_stand() -> None:
    places = [4, 5, 8, 9, 11, 12, 15, 17, 18, 20, 21, 22, 26, 28, 31, 32, 33, 35]
    assert [ATTRIBUTES.index(name) for name in CELEBA_ATTRIBUTES] == places


def test_lists_in_another_order(root: Path) -> None:
    """Attributes are found by file name, and rows come in the order of the partition."""
    count, header, *rows = attribute_lines()
    write_lines(root / "list_attr_celeba.txt", [count, header, *rows[::-1], "", ""], end="\n")
    write_lines(root / "list_eval_partition.txt", ["", *partition_lines()[1::-1], *partition_lines()[2:]], end="\n")
    source = CelebA(root=root)
    assert numbers(source, "train") == [2, 1, 3, 4, 5, 6]
    assert list(source.load("train").column("Male")) == VALUES[[1, 0, 2, 3, 4, 5], ATTRIBUTES.index("Male")].tolist()


# Where the parts lie.


@pytest.mark.parametrize("packed", [False, True])
def test_the_folders_of_the_official_drive(packed: bool, root: Path) -> None:
    before = CelebA(root=root).load("test").column("Young")
    if packed:
        pack(root)
    for folder, names in {
        "Img": ["img_align_celeba.zip" if packed else "img_align_celeba"],
        "Anno": ["list_attr_celeba.txt"],
        "Eval": ["list_eval_partition.txt"],
    }.items():
        (root / folder).mkdir()
        for name in names:
            (root / name).rename(root / folder / name)
    source = CelebA(root=root)
    assert np.array_equal(source.load("test").column("Young"), before)
    assert {path.parent.name for path in source.files()} >= {"Anno", "Eval"}
    assert np.asarray(prepare(source, {"image": IMAGE}).splits["test"].present).all()


@pytest.mark.parametrize("inside", ["img_align_celeba/", "", "celeba/img_align_celeba/"])
def test_an_archive_gives_the_rows_of_its_folder(inside: str, root: Path, tmp_path: Path, own_cache: Path) -> None:
    packed = shutil.copytree(root, tmp_path / "packed")
    archive = pack(packed, inside)
    a, b = prepare(CelebA(root=root), {"image": IMAGE}), prepare(CelebA(root=packed), {"image": IMAGE})
    for split in SPLITS:
        assert a.splits[split].stored["image"].equal(b.splits[split].stored["image"])
    assert CelebA(root=packed).files() == [
        packed / "list_attr_celeba.txt",
        packed / "list_eval_partition.txt",
        archive,
    ]


def test_a_cell_of_an_archive_is_an_array_when_it_is_looked_at(root: Path) -> None:
    expected = np.asarray(Image.open(root / "img_align_celeba" / NAMES[9]))
    archive = pack(root)
    cell = CelebA(root=root).load("test").column("image")[0]
    assert np.array_equal(np.asarray(cell), expected)
    assert str(cell) == f"{archive}, member img_align_celeba/{NAMES[9]}"


@pytest.mark.slow
def test_no_archive_stays_open(root: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[zipfile.ZipFile]] = []

    class Watched(zipfile.ZipFile):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(weakref.ref(self))

    pack(root)
    monkeypatch.setattr(zipfile, "ZipFile", Watched)
    source = CelebA(root=root)
    tables = [source.load(split) for split in SPLITS]
    gc.collect()
    assert [file() for file in made] == [None]  # whose names were read
    cells = [np.asarray(cell) for table in tables for cell in table.column("image")]
    assert len(cells) == len(NAMES)
    assert sum(file() is not None for file in made) == len(SPLITS)
    del tables
    prepare(source, {"image": IMAGE})
    gc.collect()
    assert len(made) == 1 + 2 * len(SPLITS)
    assert not any(file() for file in made)


def test_a_folder_goes_before_an_archive_unless_it_is_empty(root: Path) -> None:
    shutil.copytree(root / "img_align_celeba", root / "kept")
    pack(root)
    (root / "img_align_celeba").mkdir()
    assert len(CelebA(root=root).files()) == 3
    shutil.copy(root / "kept" / NAMES[0], root / "img_align_celeba")
    assert CelebA(root=root).files()[2:] == [root / "img_align_celeba" / NAMES[0]]


def test_root_overrides_the_search(root: Path, tmp_path: Path) -> None:
    assert CelebA(root=root).located(lambda _: tmp_path / "x").root == root
    assert CelebA().located(lambda name: tmp_path / name).root == tmp_path / "celeba"


def test_a_source_that_was_not_located() -> None:
    with pytest.raises(UserError) as raised:
        CelebA().files()
    (line,) = raised.value.faults
    assert_facts(line, "data.root: ", "not set", "; set", "celeba")


# A part of the pictures.


def test_a_part_of_the_pictures_gives_their_rows(root: Path, own_cache: Path) -> None:
    for row in (1, 4, 5, 8, 10):
        (root / "img_align_celeba" / NAMES[row]).unlink()
    (root / "img_align_celeba" / "stranger.jpg").write_bytes(b"")
    source = CelebA(root=root)
    assert [numbers(source, split) for split in SPLITS] == [[1, 3, 4], [7, 8], [10, 12]]
    assert list(source.load("train").column("Bald")) == VALUES[[0, 2, 3], 4].tolist()
    (note,) = source.notes()
    assert_facts(note, "7 of the 12 images", "3 train, 2 valid, 2 test")
    assert source.files()[2:] == [root / "img_align_celeba" / NAMES[row] for row in (0, 2, 3, 6, 7, 9, 11)]
    assert note in prepare(source, {"image": IMAGE}).notes


def test_what_changes_in_the_folder_is_seen(root: Path) -> None:
    source = CelebA(root=root)
    source.files()
    (root / "img_align_celeba" / NAMES[0]).unlink()
    os.utime(root / "img_align_celeba", ns=(1, 1))
    assert numbers(source, "train") == [2, 3, 4, 5, 6]
    write_lines(root / "list_eval_partition.txt", [line[:-1] + "0" for line in partition_lines()] + [""])
    assert len(numbers(source, "train")) == 11
    lines = attribute_lines()
    write_lines(root / "list_attr_celeba.txt", [*lines[:3], *[line.replace(" 1", "-1") for line in lines[3:]], ""])
    assert list(source.load("train").column("Male")) == [-1] * 11


# What is missing or broken.


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "list_eval_partition.txt"])
def test_a_missing_list(name: str, root: Path) -> None:
    (root / name).unlink()
    facts = ("no such file", "Anno, Eval, Img", "; put it there", "data.root", "`mmt data get celeba`")
    assert_facts(fault(root), f"{root / name}: ", *facts)


@pytest.mark.parametrize("content", ["nothing", "an empty folder", "a stranger", "an archive of strangers"])
def test_no_picture_at_all(content: str, root: Path) -> None:
    shutil.rmtree(root / "img_align_celeba")
    if content != "nothing":
        (root / "img_align_celeba").mkdir()
    if content in ("a stranger", "an archive of strangers"):
        (root / "img_align_celeba" / "stranger.jpg").write_bytes(b"")
    if content == "an archive of strangers":
        pack(root)
    facts = ("list_eval_partition.txt", "img_align_celeba.zip", "; put one there", "data.root", "`mmt data get celeba`")
    assert_facts(fault(root), f"{root / 'img_align_celeba'}: ", *facts)


def changed(line: int, change: Callable[[str], str]) -> list[str]:
    lines = attribute_lines()
    lines[line - 1] = change(lines[line - 1])
    return lines


@pytest.mark.parametrize(
    ("lines", "place", "facts"),
    [
        (["a,b", "c"], ", line 1: ", ("'a,b'", "number of images")),
        ([], ", line 1: ", ("''", "number of images")),
        (["12"], ", line 2: ", ("0 attributes", "not 40")),
        (changed(2, lambda line: line.replace("Bald", "Bangs")), ", line 2: ", ("39 attributes", "not 40")),
        (changed(2, lambda line: line + " More"), ", line 2: ", ("41 attributes", "not 40")),
        (changed(5, lambda line: line[:-3]), ", line 5: ", ("39 values", "not 40")),
        (changed(5, lambda line: line + " 1"), ", line 5: ", ("41 values", "not 40")),
        (changed(5, lambda line: line[:10]), ", line 5: ", ("0 values", "not 40")),
        *(
            (
                changed(6, lambda line, value=value: line[:23] + value + line[25:]),  # type: ignore[misc]
                ", line 6, attribute Bald: ",
                (repr(value.strip()), "1 nor -1", "; correct it"),
            )
            for value in (" 0", " n", "-2")
        ),
        (
            changed(14, lambda line: line[:-2] + "11"),
            ", line 14, attribute Young: ",
            ("'11'", "1 nor -1", "; correct it"),
        ),
        (changed(9, lambda line: attribute_lines()[3]), ", line 9: ", ("000002.jpg", "line 4", "; remove one")),
        (attribute_lines()[:-2], ": ", ("first line", "12 images", "10 follow", "; ")),
        (["11", *attribute_lines()[1:]], ": ", ("first line", "11 images", "12 follow", "; ")),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_broken_list_of_attributes(
    lines: list[str], place: str, facts: tuple[str, ...], end: str, root: Path
) -> None:
    path = root / "list_attr_celeba.txt"
    write_lines(path, lines, end)
    assert fault(root).startswith(f"{path}{place}")
    assert_facts(fault(root), place, *facts, "fetch the file again")


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("000003.jpg", ("'000003.jpg'", "file name and a split")),
        ("000003.jpg 0 1", ("'000003.jpg 0 1'", "file name and a split")),
        ("000003.jpg,0", ("'000003.jpg,0'", "file name and a split")),
        ("000003.jpg 3", ("'3'", "0 for train, 1 for valid, 2 for test")),
        ("000001.jpg 0", ("000001.jpg", "line 1", "; remove one")),
        ("x" * 50, (f"'{'x' * 39}…'", "file name and a split")),
    ],
)
def test_a_broken_list_of_the_partition(line: str, facts: tuple[str, ...], root: Path) -> None:
    path = root / "list_eval_partition.txt"
    write_lines(path, [*partition_lines()[:2], line, *partition_lines()[3:]])
    assert_facts(fault(root), f"{path}, line 3: ", *facts, "fetch the file again")


def test_a_picture_without_attributes(root: Path) -> None:
    write_lines(root / "list_attr_celeba.txt", ["11", *attribute_lines()[1:-1]])
    place, other = f"{root / 'list_attr_celeba.txt'}: ", str(root / "list_eval_partition.txt")
    assert_facts(fault(root), place, "000012.jpg", other, "; fetch both")


def test_a_list_that_is_no_text(root: Path) -> None:
    path = root / "list_attr_celeba.txt"
    path.write_bytes(b"12\n\xff\xfe")
    assert_facts(fault(root), f"{path}: ", "text", "byte 3", "; fetch")
    path.write_bytes("\r\n".join(attribute_lines()).replace("-1", " \0").encode())
    assert_facts(fault(root), f"{path}: ", "text", "zero bytes", "; fetch")


def test_a_broken_archive(root: Path) -> None:
    archive = pack(root)
    archive.write_bytes(archive.read_bytes()[:-30])
    assert_facts(fault(root), f"{archive}: ", "zip archive", "File is not a zip file", "; fetch")


# Damaged pictures.


def test_a_damaged_picture_is_named(root: Path, own_cache: Path) -> None:
    path = root / "img_align_celeba" / NAMES[2]
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(UserError) as raised:
        prepare(CelebA(root=root), {"image": IMAGE})
    (line,) = raised.value.faults
    assert line.startswith(f"train row 2, column image: {path}: ")
    dataset = prepare(CelebA(root=root, on_bad_cell="missing"), {"image": IMAGE})
    assert dataset.splits["train"].present[:, 0].tolist() == [True, True, False, True, True, True]
    (note,) = dataset.notes
    assert_facts(note, "train, column image: ", "1 of 6 cells", "missing", f"train row 2: {path}")


@pytest.mark.parametrize("damage", ["cut", "junk", "rotten"])
def test_a_damaged_member_of_an_archive_is_named(damage: str, root: Path, own_cache: Path) -> None:
    path = root / "img_align_celeba" / NAMES[2]
    data = path.read_bytes()
    path.write_bytes({"cut": data[:400], "junk": b"junk", "rotten": data}[damage])
    archive = pack(root)
    if damage == "rotten":  # the archive's own checksum of the member is wrong
        with zipfile.ZipFile(archive) as file:
            start = file.getinfo(f"img_align_celeba/{NAMES[2]}").header_offset
        whole = bytearray(archive.read_bytes())
        whole[start + 200] ^= 255
        archive.write_bytes(bytes(whole))
    with pytest.raises(UserError) as raised:
        prepare(CelebA(root=root), {"image": IMAGE})
    (line,) = raised.value.faults
    assert line.startswith("train row 2, column image: ")
    assert_facts(line, f"{archive}, member img_align_celeba/{NAMES[2]}: ", "; fetch the archive again")


# The catalogue.


def test_the_card_says_how_to_get_it_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMT_DATA", str(tmp_path / "data"))
    for where in ("user_data_path", "site_data_path"):
        monkeypatch.setattr(platformdirs, where, lambda _: tmp_path / "nowhere")
    files = ("img_align_celeba.zip", "list_attr_celeba.txt", "list_eval_partition.txt")
    how = (*files, "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html", str(tmp_path / "data" / "celeba"))
    with pytest.raises(UserError) as raised:
        get_data_set("celeba")
    (line,) = raised.value.faults
    assert_facts(line, "celeba", *how, "non-commercial research only")
    with pytest.raises(UserError) as raised:
        find_data_set("celeba")
    (line,) = raised.value.faults
    assert_facts(line, *how, "MMT_DATA")
    assert "mmt data get" not in line

    (tmp_path / "data" / "CelebA").mkdir(parents=True)
    lines: list[str] = []
    assert get_data_set("celeba", lines.append) == tmp_path / "data" / "CelebA"
    (line,) = lines
    assert_facts(line, f"{tmp_path / 'data' / 'CelebA'}: ", *how[:-1], str(tmp_path / "data" / "CelebA"))


def test_a_card_has_files_or_words_on_how_to_get_them() -> None:
    for name, card in data_cards().items():
        assert bool(card.files) != bool(card.by_hand), name
    assert data_cards()["celeba"].splits == {"train": 162_770, "valid": 19_867, "test": 19_962}


def test_other_folders_of_an_archive_are_left_alone(root: Path) -> None:
    archive = pack(root)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("old/000001.jpg", b"another")
        file.writestr("__MACOSX/img_align_celeba/000001.jpg", b"another")
    assert np.asarray(CelebA(root=root).load("train").column("image")[0]).shape == (78, 64, 3)


def test_a_picture_that_an_archive_holds_twice_is_reported(root: Path) -> None:
    archive = pack(root)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("again/img_align_celeba/000001.jpg", b"another")
    members = ("img_align_celeba/000001.jpg", "again/img_align_celeba/000001.jpg")
    assert_facts(fault(root), f"{archive}: ", "000001.jpg", "twice", *members, "; fetch")
