"""Prepared data: parsed once, verified, rebuilt when damaged; faults by split, row and column; batches by row."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit.base import meter
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.locations import clean_prepared
from mmtoolkit.components import Columns, DataPath, Modality, Parsed, Source, Supervision, Table
from mmtoolkit.data.dataset import Dataset, prepare
from mmtoolkit.tables.cells import Cells

CPU = torch.device("cpu")
PIXELS = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
TABLES: dict[str, dict[str, Any]] = {
    "train": {"image": PIXELS[:4], "label": ["b", "a", None, "b"], "number": [1, 2, 3, None]},
    "test": {"image": PIXELS[4:], "label": ["a", None], "number": [None, 5]},
}


class Memory(Source):
    """Rows that stand in this file, and a count of how often they were loaded."""

    kind: Literal["memory"] = "memory"
    file: DataPath
    tables: ClassVar[dict[str, dict[str, Any]]] = TABLES
    loads: ClassVar[Counter[str]] = Counter()

    def splits(self) -> tuple[str, ...]:
        return tuple(self.tables)

    def files(self) -> Sequence[Path]:
        return [self.file]

    def load(self, split: str) -> Table:
        self.loads[split] += 1
        return Columns(self.tables[split])


class Number(Modality):
    """A number below 100, kept as it is."""

    kind: Literal["number"] = "number"

    def event_shape(self) -> tuple[int, ...]:
        return ()

    def parse(self, cell: Any) -> Tensor:
        if not 0 <= cell < 100:
            raise ValueError(f"{cell} is not below 100; mend it")
        return torch.tensor(cell)

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return nn.Identity()

    def decoder(self, size: int) -> nn.Module:
        return nn.Identity()


class Learned(Number):
    """A number with an option that is learned, and a count of how often."""

    kind: Literal["learned"] = "learned"  # type: ignore[assignment]
    largest: int | None = None
    fits: ClassVar[list[list[int]]] = []

    def fit(self, chunks: Iterable[Cells]) -> Self:
        if self.largest is not None:
            return self
        seen = [cell for cells in chunks for cell in cells]
        self.fits.append(seen)
        return self.model_copy(update={"largest": max(seen)})


class Tables(NamedTuple):
    """A source over tables of a test's own."""

    source: type[Memory]
    file: Path

    def __call__(self, **options: Any) -> Memory:
        return self.source(file=self.file, **options)


@pytest.fixture
def memory(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """memory(tables) -> what makes a source over them, of which nothing was loaded yet."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing here loses power, and the disk takes its time

    def make(tables: dict[str, dict[str, Any]] | None = None) -> Tables:
        Memory.tables = tables if tables is not None else TABLES
        Memory.loads.clear()
        Learned.fits.clear()
        file = tmp_path / "file"
        file.touch()
        return Tables(Memory, file)

    yield make
    Memory.tables = TABLES


MODALITIES: dict[str, Modality] = {
    "image": Image(shape=(1, 2, 2), network="mlp"),
    "label": Label(classes=("a", "b")),
    "number": Number(),
}


def faults(source: Source, modalities: dict[str, Modality] = MODALITIES) -> list[str]:
    with pytest.raises(UserError) as raised:
        prepare(source, modalities)
    return raised.value.faults


def content(data: Dataset) -> dict[tuple[str, str], tuple[list[Any], list[bool]]]:
    """All that is stored, copied: what is mapped changes with its file."""
    return {
        (split.name, name): (split.stored[name].tolist(), split.present[:, m].tolist())
        for split in data.splits.values()
        for m, name in enumerate(split.modalities)
    }


# What is read.


def test_cells_are_stored_with_what_is_missing(memory: Any) -> None:
    data = prepare(memory()(), MODALITIES)
    train = data.split("train")
    assert train.present.tolist() == [[True, True, True], [True, True, True], [True, False, True], [True, True, False]]
    assert torch.equal(train.stored["image"], torch.from_numpy(PIXELS[:4, None]))
    assert train.stored["label"].tolist() == [1, 0, 0, 1]  # a blank holds zero
    assert train.stored["number"].tolist() == [1, 2, 3, 0]
    assert train.stored["image"].dtype == torch.uint8
    assert data.notes == []
    assert train.nbytes == 4 * 4 + 2 * 4 * 8


def test_a_blank_holds_zero_whatever_the_modality_left_there(memory: Any) -> None:
    class Untidy(Number):
        def parse_column(self, cells: Cells) -> Parsed:
            present = torch.tensor([cell is not None for cell in cells])
            return Parsed(torch.tensor([99 if cell is None else cell for cell in cells]), present)

    train = prepare(memory()(), {"number": Untidy()}).split("train")
    assert train.stored["number"].tolist() == [1, 2, 3, 0]


def test_a_column_may_have_another_name_and_serve_two(memory: Any) -> None:
    modalities: dict[str, Modality] = {"type": Number(column="number"), "a.b/ü": Number(column="number", weight=2)}
    train = prepare(memory()(), modalities).split("train")
    assert torch.equal(train.stored["type"], train.stored["a.b/ü"])


def test_many_chunks_make_one_column(memory: Any) -> None:
    numbers = [None if i % 7 == 0 else i % 100 for i in range(10_000)]
    images = np.random.default_rng(0).integers(0, 256, (10_000, 2, 2), dtype=np.uint8)
    train = prepare(
        memory({"train": {"image": images, "number": numbers}})(), {k: MODALITIES[k] for k in ("image", "number")}
    ).split("train")
    assert train.present[:, 1].tolist() == [n is not None for n in numbers]
    assert train.stored["number"].tolist() == [n or 0 for n in numbers]
    assert torch.equal(train.stored["image"], torch.from_numpy(images[:, None]))


def test_a_first_chunk_without_a_value_does_not_fix_the_type(memory: Any) -> None:
    numbers = [None] * 5000 + [7] + [None] * 5000
    train = prepare(memory({"train": {"number": numbers}})(), {"number": Number()}).split("train")
    assert train.stored["number"].dtype == torch.int64
    assert train.stored["number"][5000] == 7


def test_rows_limits_a_split(memory: Any) -> None:
    data = prepare(memory()(rows={"train": 2, "test": 50}), MODALITIES)
    assert [len(split) for split in data.splits.values()] == [2, 2]
    assert torch.equal(data.split("train").stored["image"], torch.from_numpy(PIXELS[:2, None]))


def test_rows_of_an_unknown_split(memory: Any) -> None:
    assert faults(memory()(rows={"trian": 2, "x": 1})) == [
        "data.rows.trian: there is no split 'trian'; did you mean 'train'?; the splits are train, test",
        "data.rows.x: there is no split 'x'; the splits are train, test",
    ]


def test_rows_limits_what_is_learned_from(memory: Any) -> None:
    data = prepare(memory()(rows={"train": 2}), {"number": Learned()})
    assert Learned.fits == [[1, 2]]
    assert data.modalities["number"].model_dump()["largest"] == 2


# The cache.


def test_data_is_parsed_once(memory: Any) -> None:
    make = memory()
    first = prepare(make(), MODALITIES)
    assert Memory.loads == {"train": 1, "test": 1}
    assert content(first) == content(prepare(make(), MODALITIES))
    assert Memory.loads == {"train": 1, "test": 1}


def test_only_what_is_new_is_parsed(memory: Any) -> None:
    make = memory()
    said: list[str] = []
    prepare(make(), {"label": MODALITIES["label"]}, report=said.append)
    prepare(make(), MODALITIES, report=said.append)
    assert said == [
        "preparing train: 4 rows of label",
        "preparing test: 2 rows of label",
        "preparing train: 4 rows of image, number",
        "preparing test: 2 rows of image, number",
    ]


def test_how_many_rows_are_prepared_is_said_now_and_then(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(0, 20)
    monkeypatch.setattr(meter, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    lines: list[str] = []
    prepare(memory({"train": {"number": np.arange(10_000) % 100}})(), {"number": Number()}, report=lines.append)
    assert lines == [
        "preparing train: 10,000 rows of number",
        "preparing train: 4,096 of 10,000 rows, about 29 s left",
        "preparing train: 8,192 of 10,000 rows, about 9 s left",
    ]


def test_what_changes_the_data_is_parsed_anew(memory: Any) -> None:
    make = memory()
    number = {"number": Number()}

    def loads_again(source: Source, modalities: dict[str, Modality]) -> bool:
        Memory.loads.clear()
        prepare(source, modalities)
        return bool(Memory.loads)

    assert loads_again(make(), number)
    assert not loads_again(make(), number)
    assert not loads_again(make(), {"number": Number(weight=3)})
    assert not loads_again(make(on_bad_cell="missing"), number)
    assert not loads_again(make(supervision=Supervision(keep=0.9)), number)
    assert loads_again(make(rows={"train": 3}), number)
    assert loads_again(make(), {"number": Learned(largest=3)})
    assert loads_again(make(), {"number": Learned(largest=4)})
    os.utime(make.file, ns=(1, 1))
    assert loads_again(make(), number)
    make.file.write_text("longer")
    os.utime(make.file, ns=(1, 1))
    assert loads_again(make(), number)


def test_prepared_data_can_be_cleaned_away(memory: Any, own_cache: Path) -> None:
    make = memory()
    prepare(make(), MODALITIES)
    (own_cache / "other").write_text("x")
    size = sum(path.stat().st_size for path in (own_cache / "prepared").rglob("*") if path.is_file())
    assert clean_prepared() == size > 0
    assert [path.name for path in own_cache.iterdir()] == ["other"]
    assert clean_prepared() == 0
    prepare(make(), MODALITIES)
    assert Memory.loads["train"] == 2


def test_what_was_learned_is_kept(memory: Any) -> None:
    make = memory()
    modalities = {"number": Learned()}
    for _ in range(2):
        data = prepare(make(), modalities)
        assert data.modalities["number"] == Learned(largest=3)
    assert Learned.fits == [[1, 2, 3]]  # the training cells that are present
    os.utime(make.file, ns=(1, 1))
    prepare(make(), modalities)
    assert len(Learned.fits) == 2


def test_where_nothing_is_left_open_no_cell_is_read_to_learn(memory: Any, own_cache: Path) -> None:
    make = memory({"train": {"number": [1]}})
    for modality in (Number(), Learned(largest=5)):
        assert prepare(make(), {"number": modality}).modalities["number"] is modality
    assert Learned.fits == []
    assert list(own_cache.rglob("options.json")) == []


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "flipped": lambda path: flip(path, -1),
    "flipped at the front": lambda path: flip(path, 0),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "deleted": lambda path: path.unlink(),
    "made a folder": lambda path: (path.unlink(), path.mkdir()),
    "other json": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["stored.npy", "present.npy", "column.json", "options.json", "checksum"])
def test_a_damaged_cache_is_made_again(name: str, damage: str, memory: Any, own_cache: Path) -> None:
    make = memory({"train": {"number": [3, None, 7]}})
    modalities = {"number": Learned()}
    learned = prepare(make(), modalities).modalities
    whole = content(prepare(make(), modalities))
    (path,) = own_cache.rglob(name)
    DAMAGES[damage](path)
    for _ in range(2):
        again = prepare(make(), modalities)
        assert content(again) == whole
        assert again.modalities == learned
    Memory.loads.clear()
    prepare(make(), modalities)
    assert not Memory.loads


@pytest.mark.parametrize("bit", range(0, 8 * 200, 97))
def test_any_bit_of_a_card_may_flip(bit: int, memory: Any, own_cache: Path) -> None:
    make = memory({"train": {"number": [3, None, 7]}})
    whole = content(prepare(make(), {"number": Number()}))
    (path,) = own_cache.rglob("column.json")
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)
    assert content(prepare(make(), {"number": Number()})) == whole


def test_a_cache_that_is_a_file(memory: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    monkeypatch.setenv("MMT_CACHE", str(tmp_path / "plain"))
    (line,) = faults(memory()(), {"number": Number()})
    assert line.startswith(f"{tmp_path / 'plain' / 'prepared'}")
    assert line.endswith(": cannot be written: Not a directory; make it writable, or write elsewhere")


def test_free_space_is_checked_before_writing(memory: Any, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    images = np.zeros((400_000, 2, 2), dtype=np.uint8)
    make = memory({"train": {"image": images, "number": [1] * 400_000}})
    assert faults(make(), {"image": MODALITIES["image"]}) == [
        f"{own_cache / 'prepared'}: prepared data needs 2 MB and 1 MB are free; run `mmt data clean`, or set "
        "MMT_CACHE to a folder with room"
    ]
    assert list(own_cache.rglob("*.npy")) == []
    assert [path.name for path in (own_cache / "prepared").iterdir()] == [".lock"]


def test_a_disk_that_fills_up_is_one_line(memory: Any, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    def refuse(number: int) -> None:
        def fallocate(*_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", fallocate)

    refuse(errno.ENOSPC)
    (line,) = faults(memory()())
    assert line.endswith(": cannot be written: No space left on device; free some space, or write elsewhere")
    assert [path.name for path in (own_cache / "prepared").iterdir()] == [".lock"]
    refuse(errno.EOPNOTSUPP)  # a disk that cannot promise room may still have it
    prepare(memory()(), MODALITIES)


def test_a_file_of_the_source_that_is_not_there(memory: Any) -> None:
    make = memory()
    make.file.unlink()
    assert faults(make()) == [f"{make.file}: cannot be read: No such file or directory; put it there, or correct data"]


def test_classes_from_a_prompt_are_prepared_though_not_reused(memory: Any) -> None:
    make = memory()
    typed = type("Typed", (Number,), {"__module__": "__main__", "__qualname__": "Typed"})
    typed.__module__ = "nowhere"
    for count in (1, 2):
        assert len(prepare(make(), {"number": typed()}).split("train")) == 4
        assert Memory.loads["train"] == count


# What is wrong with the data.


def test_bad_cells_are_told_by_split_row_and_column(memory: Any) -> None:
    make = memory(
        {
            "train": {"number": [1, 500, None, -1], "other": [1, 2, 3, 4]},
            "test": {"number": [700], "other": [800]},
        }
    )
    modalities: dict[str, Modality] = {"number": Number(), "x": Number(column="other")}
    remedy = "is not below 100; mend it; mend the cell, or set data.on_bad_cell to missing"
    for _ in range(2):  # from the cache too
        assert faults(make(), modalities) == [
            f"train row 1, column number: 500 {remedy}",
            f"train row 3, column number: -1 {remedy}",
            f"test row 0, column number: 700 {remedy}",
            f"test row 0, column other: 800 {remedy}",
        ]
    assert Memory.loads == {"train": 1, "test": 1}


def test_many_bad_cells_are_counted(memory: Any) -> None:
    lines = faults(memory({"train": {"number": [0] + [500] * 9000}})(), {"number": Number()})
    assert [line.split(",")[0] for line in lines[:5]] == [f"train row {row}" for row in range(1, 6)]
    assert lines[5:] == ["train, column number: and 8995 more of its 9001 cells cannot be read; mend them too"]


def test_bad_cells_may_count_as_missing(memory: Any) -> None:
    make = memory({"train": {"number": [1, 500, None, -1]}, "test": {"number": [700, 2]}})
    data = prepare(make(on_bad_cell="missing"), {"number": Number()})
    assert data.split("train").present.flatten().tolist() == [True, False, False, False]
    assert data.notes == [
        "train, column number: 2 of 4 cells cannot be read and count as missing; first, train row 1: 500 is not below "
        "100; mend it",
        "test, column number: 1 of 2 cells cannot be read and count as missing; first, test row 0: 700 is not below "
        "100; mend it",
    ]


def test_a_column_of_bad_cells_says_why_it_is_empty(memory: Any) -> None:
    lines = faults(memory({"train": {"number": [500]}})(on_bad_cell="missing"), {"number": Number()})
    assert lines == [
        "modalities.number: no value of column number is there in any of the 1 training rows; remove the modality, or "
        "mend the data",
        "train, column number: 1 of 1 cells cannot be read and count as missing; first, train row 0: 500 is not below "
        "100; mend it",
    ]


def test_columns_that_are_not_there(memory: Any) -> None:
    modalities: dict[str, Modality] = {"numbr": Number(), "x": Number(column="lable"), "number": Number()}
    assert faults(memory()(), modalities) == [
        "modalities.numbr: the data has no column 'numbr'; did you mean 'number'?; its columns are image, label, "
        "number: set column to one of them",
        "modalities.x: the data has no column 'lable'; did you mean 'label'?; its columns are image, label, number: "
        "set column to one of them",
    ]
    assert faults(memory()(), {"numbr": Learned()})[0].startswith("modalities.numbr: the data has no column 'numbr'; ")


def test_a_column_that_only_the_test_split_lacks(memory: Any) -> None:
    make = memory({"train": {"number": [1]}, "test": {"other": [1]}})
    (line,) = faults(make(), {"number": Number()})
    assert line.startswith("modalities.number: the data has no column 'number'; ")


def test_a_column_with_no_value_in_training(memory: Any) -> None:
    make = memory({"train": {"number": [None, None], "label": ["a", "b"]}, "test": {"number": [1], "label": ["a"]}})
    assert faults(make(), {k: MODALITIES[k] for k in ("number", "label")}) == [
        "modalities.number: no value of column number is there in any of the 2 training rows; remove the modality, or "
        "mend the data"
    ]


@pytest.mark.parametrize("modality", [Number(), Learned(), Label()])
def test_an_empty_training_split(modality: Modality, memory: Any) -> None:
    make = memory({"train": {"number": []}, "test": {"number": [1]}})
    assert faults(make(), {"number": modality}) == ["data: the training split is empty; give it rows"]


def test_an_empty_test_split_is_no_fault(memory: Any) -> None:
    make = memory({"train": {"image": PIXELS, "number": [1] * 6}, "test": {"image": PIXELS[:0], "number": []}})
    test = prepare(make(), {k: MODALITIES[k] for k in ("image", "number")}).split("test")
    assert len(test) == 0
    assert list(test.batches(5, CPU)) == []
    assert test.batch(torch.arange(0), CPU).value("image").shape == (0, 1, 2, 2)
    assert list(test.values("image")) == []


def test_data_without_a_training_split(memory: Any) -> None:
    assert faults(memory({"test": {"number": [1]}})(), {"number": Number()}) == [
        "data: has no split train; the splits are test"
    ]


def test_an_unknown_split(memory: Any) -> None:
    data = prepare(memory()(), MODALITIES)
    with pytest.raises(UserError) as raised:
        data.split("tset")
    assert raised.value.faults == ["there is no split 'tset'; did you mean 'test'?; the data has train, test"]


def test_options_that_cannot_be_learned(memory: Any) -> None:
    assert faults(memory({"train": {"label": ["a", "a", None]}})(), {"label": Label()}) == [
        "modalities.label: cannot learn from column label: a label needs two classes or more; name them, "
        "or remove the modality"
    ]


def test_a_label_that_only_the_test_split_has_is_a_fault(memory: Any) -> None:
    make = memory({"train": {"label": ["cat", "dog"]}, "test": {"label": ["dog", None, "dgo"]}})
    assert faults(make(), {"label": Label()}) == [
        "test row 2, column label: 'dgo' is none of the 2 classes; did you mean 'dog'?; the classes are cat, dog; "
        "mend the cell, or set data.on_bad_cell to missing"
    ]


def test_what_parse_gives_must_have_the_event_s_shape_and_one_type(memory: Any) -> None:
    class Careless(Number):
        def parse(self, cell: Any) -> Tensor:
            return torch.tensor(cell)

    assert faults(memory({"train": {"x": [1, 2.5, [3]]}})(), {"x": Careless()}) == [
        "train row 1, column x: parse gives torch.float32 here and torch.int64 before; give one type; mend the cell, "
        "or set data.on_bad_cell to missing",
        "train row 2, column x: parse gives shape (1,), not event_shape (); mend the cell, or set data.on_bad_cell to "
        "missing",
    ]
    assert faults(memory({"train": {"x": [1] * 4096 + [2.5]}})(), {"x": Careless()}) == [
        "the modality number: its parse gives float32 in rows from 4096 and int64 before; let it give one type"
    ]


def test_faults_name_the_place_in_the_schema(memory: Any) -> None:
    with pytest.raises(UserError) as raised:
        prepare(memory()(), {"numbr": Number()}, at=lambda *path: f"s.yaml:7: {'.'.join(map(str, path))}")
    assert raised.value.faults[0].startswith("s.yaml:7: modalities.numbr: the data has no column")


# Weak supervision.


def test_supervision_hides_cells_of_the_training_split_alone(memory: Any) -> None:
    full = {"image": PIXELS[:4], "label": list("abab"), "number": [1, 2, 3, 4]}
    make = memory({"train": full, "valid": full, "test": full})
    data = prepare(make(supervision=Supervision(paired=0.5, groups=(("image",), ("label",)))), MODALITIES)
    assert data.split("train").present.sum().item() == 12 - 2
    assert data.split("train").present[:, 2].all()  # of no group: in every row
    assert data.split("valid").present.all()
    assert data.split("test").present.all()
    assert torch.equal(data.split("train").stored["image"], data.split("test").stored["image"])


def test_supervision_fills_no_cell(memory: Any) -> None:
    data = prepare(memory()(supervision=Supervision(keep=1)), MODALITIES)
    assert torch.equal(data.split("train").present, prepare(memory()(), MODALITIES).split("train").present)


def test_a_column_that_supervision_empties_is_a_note(memory: Any) -> None:
    data = prepare(memory()(supervision=Supervision(keep=0)), MODALITIES)
    assert data.notes == [
        f"data.supervision leaves no training value of {name}: its networks stay as they are initialised"
        for name in MODALITIES
    ]
    assert list(data.split("train").values("image")) == []


def test_an_emptied_column_still_has_a_baseline(memory: Any) -> None:
    image = Image(shape=(1, 2, 2), network="mlp", binarize="static")
    train = prepare(memory()(supervision=Supervision(keep=0)), {"image": image}).split("train")
    assert torch.equal(image.baseline(train.values("image")), torch.zeros(1, 2, 2))


# Batches.


def test_a_batch_holds_the_right_rows(memory: Any) -> None:
    train = prepare(memory()(), MODALITIES).split("train")
    batch = train.batch(torch.tensor([3, 2, 0]), CPU)
    assert (batch.size, batch.names) == (3, ("image", "label", "number"))
    assert torch.equal(batch.value("image"), torch.from_numpy(PIXELS[[3, 2, 0], None]) / 255)
    assert (batch.rows("label").tolist(), batch.value("label").tolist()) == ([0, 2], [1, 1])
    assert (batch.rows("number").tolist(), batch.value("number").tolist()) == ([1, 2], [3, 1])


def test_a_batch_may_lack_a_modality_altogether(memory: Any) -> None:
    batch = prepare(memory()(), MODALITIES).split("train").batch(torch.tensor([2]), CPU)
    assert batch.rows("label").tolist() == []
    assert batch.value("label").shape == (0,)


def test_batches_are_all_rows_in_order(memory: Any) -> None:
    train = prepare(memory()(), MODALITIES).split("train")
    batches = list(train.batches(3, CPU))
    assert [batch.size for batch in batches] == [3, 1]
    assert torch.equal(torch.cat([b.value("image") for b in batches]), torch.from_numpy(PIXELS[:4, None]) / 255)
    assert torch.cat(list(train.values("number", size=2))).tolist() == [1, 2, 3]


def test_a_split_on_a_device_is_the_same_split(memory: Any) -> None:
    train = prepare(memory()(), MODALITIES).split("train")
    moved = train.on(CPU)
    assert torch.equal(
        moved.batch(torch.arange(4), CPU).value("image"), train.batch(torch.arange(4), CPU).value("image")
    )


def grey(memory: Any, binarize: Literal["none", "static", "dynamic"]) -> Dataset:
    pixels = np.full((40, 4, 4), 128, dtype=np.uint8)
    image = Image(shape=(1, 4, 4), network="mlp", binarize=binarize)
    return prepare(memory({"train": {"image": pixels}, "test": {"image": pixels}})(), {"image": image})


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_a_fixed_draw_is_the_same_in_any_batch(binarize: Literal["static", "dynamic"], memory: Any) -> None:
    data = grey(memory, binarize)
    train = data.split("train")
    whole = train.batch(torch.arange(40), CPU).value("image")
    assert set(whole.unique().tolist()) == {0, 1}
    rows = torch.tensor([7, 39, 0, 7])
    assert torch.equal(train.batch(rows, CPU).value("image"), whole[rows])
    assert torch.equal(torch.cat(list(train.values("image", size=9))), whole)
    test = data.split("test").batch(torch.arange(40), CPU).value("image")
    assert not torch.equal(test, whole)  # each split has draws of its own
    assert len({tuple(row.flatten().tolist()) for row in whole}) == 40


def test_only_dynamic_binarisation_redraws_and_only_in_training(memory: Any) -> None:
    rows = torch.arange(40)
    for binarize, redraws in (("static", False), ("dynamic", True)):
        train = grey(memory, binarize).split("train")  # type: ignore[arg-type]
        fixed = train.batch(rows, CPU).value("image")
        first, second = (train.batch(rows, CPU, redraw=True).value("image") for _ in range(2))
        assert torch.equal(first, second) is not redraws
        assert torch.equal(first, fixed) is not redraws


def test_columns_of_a_table_have_one_length() -> None:
    with pytest.raises(ValueError, match="the columns of a table have one length"):
        Columns({"a": [1], "b": [1, 2]})
    assert [*Columns({"a": [1, 2, 3]}).chunks(["a"], 2)] == [{"a": [1, 2]}, {"a": [3]}]


def test_a_column_of_another_shape_than_promised_is_refused() -> None:
    class Spread(Number):
        kind: Literal["spread"] = "spread"  # type: ignore[assignment]

        def event_shape(self) -> tuple[int, ...]:
            return (3,)

        def parse_column(self, cells: Cells) -> Parsed:
            return Parsed(torch.ones(len(cells), 1), torch.ones(len(cells), dtype=torch.bool))

    class Four(Source):
        kind: Literal["four"] = "four"

        def splits(self) -> tuple[str, ...]:
            return ("train",)

        def files(self) -> list[Path]:
            return []

        def load(self, split: str) -> Columns:
            return Columns({"a": [1, 2, 3, 4]})

    with pytest.raises(UserError, match=r"its parse_column gives shape \(4, 1\) for 4 cells, not \(4, 3\); correct it"):
        prepare(Four(), {"a": Spread()})
