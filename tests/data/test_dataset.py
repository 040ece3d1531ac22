"""Prepared data: parsed once, verified, rebuilt when damaged; faults by split, row and column; batches by row."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facts import assert_facts
from lines import assert_lines
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
    """Rows from this file, and a count of how often each split was loaded."""

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
    """A number with an option to learn, and the cells of each `fit`."""

    kind: Literal["learned"] = "learned"  # type: ignore[assignment]
    largest: int | None = None
    fits: ClassVar[list[list[int]]] = []

    def fit(self, chunks: Iterable[Cells]) -> Self:
        if self.largest is not None:
            return self
        numbers = [cell for cells in chunks for cell in cells]
        self.fits.append(numbers)
        return self.model_copy(update={"largest": max(numbers)})


class Tables(NamedTuple):
    """A source over tables of a test's own."""

    source: type[Memory]
    file: Path

    def __call__(self, **options: Any) -> Memory:
        return self.source(file=self.file, **options)


@pytest.fixture
def memory(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """memory(tables) -> a function that makes a source over them; nothing is loaded yet."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no test loses power, and the disk is slow

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
    """All stored values, copied, since memory-mapped ones change with their file."""
    return {
        (split.name, name): (split.stored[name].tolist(), split.present[:, m].tolist())
        for split in data.splits.values()
        for m, name in enumerate(split.modalities)
    }


# Reading.


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
    assert_lines(
        faults(memory()(rows={"trian": 2, "x": 1})),
        ("data.rows.trian: ", "no split 'trian'", "did you mean 'train'", "train, test"),
        ("data.rows.x: ", "no split 'x'", "train, test"),
    )


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
    lines: list[str] = []
    prepare(make(), {"label": MODALITIES["label"]}, report=lines.append)
    prepare(make(), MODALITIES, report=lines.append)
    assert_lines(
        lines,
        ("preparing train", "4 rows", "label"),
        ("preparing test", "2 rows", "label"),
        ("preparing train", "4 rows", "image, number"),
        ("preparing test", "2 rows", "image, number"),
    )
    assert "label" not in "".join(lines[2:])


def test_preparing_reports_its_rows_now_and_then(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(0, 20)
    monkeypatch.setattr(meter, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    lines: list[str] = []
    prepare(memory({"train": {"number": np.arange(10_000) % 100}})(), {"number": Number()}, report=lines.append)
    assert_lines(
        lines,
        ("preparing train", "10,000 rows", "number"),
        ("preparing train", "4,096 of 10,000 rows", "29 s"),
        ("preparing train", "8,192 of 10,000 rows", "9 s"),
    )


def test_options_that_change_the_data_parse_it_again(memory: Any) -> None:
    make = memory()
    number = {"number": Number()}

    def loads_again(source: Source, modalities: Mapping[str, Modality]) -> bool:
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


def test_learned_options_are_cached(memory: Any) -> None:
    make = memory()
    modalities = {"number": Learned()}
    for _ in range(2):
        data = prepare(make(), modalities)
        assert data.modalities["number"] == Learned(largest=3)
    assert Learned.fits == [[1, 2, 3]]  # the training cells that are present
    os.utime(make.file, ns=(1, 1))
    prepare(make(), modalities)
    assert len(Learned.fits) == 2


def test_a_modality_with_nothing_to_learn_reads_no_cell(memory: Any, own_cache: Path) -> None:
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


@pytest.mark.slow
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
    assert_lines([line], (f"{tmp_path / 'plain' / 'prepared'}", "cannot be written", "Not a directory", "writable"))


def test_free_space_is_checked_before_writing(memory: Any, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    images = np.zeros((400_000, 2, 2), dtype=np.uint8)
    make = memory({"train": {"image": images, "number": [1] * 400_000}})
    assert_lines(
        faults(make(), {"image": MODALITIES["image"]}),
        (f"{own_cache / 'prepared'}: ", "2 MB", "1 MB", "free", "`mmt data clean`", "MMT_CACHE"),
    )
    assert list(own_cache.rglob("*.npy")) == []
    assert [path.name for path in (own_cache / "prepared").iterdir()] == [".lock"]


def test_a_disk_that_fills_up_is_one_line(memory: Any, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    def refuse(number: int) -> None:
        def fallocate(*_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", fallocate)

    refuse(errno.ENOSPC)
    (line,) = faults(memory()())
    assert_facts(line, "cannot be written", "No space left on device", "free some space")
    assert [path.name for path in (own_cache / "prepared").iterdir()] == [".lock"]
    refuse(errno.EOPNOTSUPP)  # a disk that cannot promise room may still have it
    prepare(memory()(), MODALITIES)


def test_a_missing_file_of_the_source(memory: Any) -> None:
    make = memory()
    make.file.unlink()
    assert_lines(faults(make()), (f"{make.file}: ", "cannot be read", "No such file or directory", "; ", "data"))


def test_classes_from_a_prompt_are_prepared_though_not_reused(memory: Any) -> None:
    make = memory()
    typed = type("Typed", (Number,), {"__module__": "__main__", "__qualname__": "Typed"})
    typed.__module__ = "nowhere"
    for count in (1, 2):
        assert len(prepare(make(), {"number": typed()}).split("train")) == 4
        assert Memory.loads["train"] == count


# Faults of the data.


def test_bad_cells_are_reported_by_split_row_and_column(memory: Any) -> None:
    make = memory(
        {
            "train": {"number": [1, 500, None, -1], "other": [1, 2, 3, 4]},
            "test": {"number": [700], "other": [800]},
        }
    )
    modalities: dict[str, Modality] = {"number": Number(), "x": Number(column="other")}
    remedy = ("mend the cell", "data.on_bad_cell", "missing")
    for _ in range(2):  # from the cache too
        assert_lines(
            faults(make(), modalities),
            ("train row 1, column number: 500 is not below 100; mend it", *remedy),
            ("train row 3, column number: -1 is not below 100; mend it", *remedy),
            ("test row 0, column number: 700 is not below 100; mend it", *remedy),
            ("test row 0, column other: 800 is not below 100; mend it", *remedy),
        )
    assert Memory.loads == {"train": 1, "test": 1}


def test_many_bad_cells_are_counted(memory: Any) -> None:
    lines = faults(memory({"train": {"number": [0] + [500] * 9000}})(), {"number": Number()})
    assert [line.split(",")[0] for line in lines[:5]] == [f"train row {row}" for row in range(1, 6)]
    assert_lines(lines[5:], ("train, column number: ", "8995 more", "9001 cells", "cannot be read", "mend them"))


def test_bad_cells_may_count_as_missing(memory: Any) -> None:
    make = memory({"train": {"number": [1, 500, None, -1]}, "test": {"number": [700, 2]}})
    data = prepare(make(on_bad_cell="missing"), {"number": Number()})
    assert data.split("train").present.flatten().tolist() == [True, False, False, False]
    assert_lines(
        data.notes,
        ("train, column number: ", "2 of 4 cells", "missing", "train row 1: 500 is not below 100"),
        ("test, column number: ", "1 of 2 cells", "missing", "test row 0: 700 is not below 100"),
    )


def test_a_column_of_bad_cells_says_why_it_is_empty(memory: Any) -> None:
    lines = faults(memory({"train": {"number": [500, 700, None]}})(on_bad_cell="missing"), {"number": Number()})
    assert_lines(
        lines,
        ("modalities.number: ", "3 training rows", "column number", "train row 0: 500 is not below 100", "remove"),
    )


def test_a_fault_of_a_whole_column_is_told_once(memory: Any) -> None:
    lines = faults(memory({"train": {"number": [500] * 30}})(), {"number": Number()})
    assert_lines(
        lines,
        ("train row 0, column number: 500 is not below 100", "mend"),
        ("train, column number: ", "29 more", "30 cells"),
    )


def test_columns_that_the_data_lacks(memory: Any) -> None:
    modalities: dict[str, Modality] = {"numbr": Number(), "x": Number(column="lable"), "number": Number()}
    columns = "image, label, number"
    assert_lines(
        faults(memory()(), modalities),
        ("modalities.numbr: ", "no column 'numbr'", "did you mean 'number'", columns, "set column"),
        ("modalities.x: ", "no column 'lable'", "did you mean 'label'", columns, "set column"),
    )
    assert_lines(faults(memory()(), {"numbr": Learned()}), ("modalities.numbr: ", "no column 'numbr'"))


def test_a_column_that_only_the_test_split_lacks(memory: Any) -> None:
    make = memory({"train": {"number": [1]}, "test": {"other": [1]}})
    assert_lines(faults(make(), {"number": Number()}), ("modalities.number: ", "no column 'number'"))


def test_a_column_with_no_value_in_training(memory: Any) -> None:
    make = memory({"train": {"number": [None, None], "label": ["a", "b"]}, "test": {"number": [1], "label": ["a"]}})
    assert_lines(
        faults(make(), {k: MODALITIES[k] for k in ("number", "label")}),
        ("modalities.number: ", "2 training rows", "column number", "remove the modality", "mend the data"),
    )


@pytest.mark.parametrize("modality", [Number(), Learned(), Label()])
def test_an_empty_training_split(modality: Modality, memory: Any) -> None:
    make = memory({"train": {"number": []}, "test": {"number": [1]}})
    assert_lines(faults(make(), {"number": modality}), ("data: ", "training split is empty", "rows"))


def test_an_empty_test_split_is_no_fault(memory: Any) -> None:
    make = memory({"train": {"image": PIXELS, "number": [1] * 6}, "test": {"image": PIXELS[:0], "number": []}})
    test = prepare(make(), {k: MODALITIES[k] for k in ("image", "number")}).split("test")
    assert len(test) == 0
    assert list(test.batches(5, CPU)) == []
    assert test.batch(torch.arange(0), CPU).value("image").shape == (0, 1, 2, 2)
    assert list(test.values("image")) == []


def test_data_without_a_training_split(memory: Any) -> None:
    lines = faults(memory({"test": {"number": [1]}})(), {"number": Number()})
    assert_lines(lines, ("data: ", "no split train", "test"))


def test_an_unknown_split(memory: Any) -> None:
    data = prepare(memory()(), MODALITIES)
    with pytest.raises(UserError) as raised:
        data.split("tset")
    assert_facts(str(raised.value), "no split 'tset'", "did you mean 'test'", "train, test")


def test_options_that_cannot_be_learned(memory: Any) -> None:
    assert_lines(
        faults(memory({"train": {"label": ["a", "a", None]}})(), {"label": Label()}),
        ("modalities.label: ", "column label", "two classes", "name them", "remove the modality"),
    )


def test_a_label_that_only_the_test_split_has_is_a_fault(memory: Any) -> None:
    make = memory({"train": {"label": ["cat", "dog"]}, "test": {"label": ["dog", None, "dgo"]}})
    assert_lines(
        faults(make(), {"label": Label()}),
        ("test row 2, column label: ", "'dgo'", "2 classes", "did you mean 'dog'", "cat, dog", "mend", "on_bad_cell"),
    )


def test_parse_must_return_the_event_shape_and_one_type(memory: Any) -> None:
    class Careless(Number):
        def parse(self, cell: Any) -> Tensor:
            return torch.tensor(cell)

    assert_lines(
        faults(memory({"train": {"x": [1, 2.5, [3]]}})(), {"x": Careless()}),
        ("train row 1, column x: ", "torch.float32", "torch.int64", "one type"),
        ("train row 2, column x: ", "shape (1,)", "event_shape ()"),
    )
    assert_lines(
        faults(memory({"train": {"x": [1] * 4096 + [2.5]}})(), {"x": Careless()}),
        ("the modality number: ", "parse", "float32", "4096", "int64", "one type"),
    )


def test_faults_name_the_place_in_the_schema(memory: Any) -> None:
    with pytest.raises(UserError) as raised:
        prepare(memory()(), {"numbr": Number()}, at=lambda *path: f"s.yaml:7: {'.'.join(map(str, path))}")
    assert_lines(raised.value.faults, ("s.yaml:7: modalities.numbr: ", "no column"))


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
    assert_lines(data.notes, *(("data.supervision ", f"value of {name}", "networks") for name in MODALITIES))
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
    with pytest.raises(ValueError, match=r"length.*'a': 1, 'b': 2"):
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

    with pytest.raises(UserError) as raised:
        prepare(Four(), {"a": Spread()})
    facts = ("the modality spread: ", "parse_column", "(4, 1)", "4 cells", "(4, 3)", "correct", "event_shape")
    assert_lines(raised.value.faults, facts)
