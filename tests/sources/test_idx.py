"""IDX files, and the sources made of them: what is read, and what is said of a file that is broken."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest

from facts import assert_facts
from mmt_image import Image
from mmtoolkit.base.errors import UserError
from mmtoolkit.data.dataset import prepare
from mmtoolkit.sources import MNIST, FashionMini, IdxSource
from mmtoolkit.sources.idx import read_idx

DIGITS = tuple("0123456789")


class Tiny(IdxSource):
    kind: Literal["tiny"] = "tiny"
    data_set = "mnist"
    classes = DIGITS
    extents: ClassVar[dict[str, tuple[Literal["train", "t10k"], int, int]]] = {
        "train": ("train", 0, 4),
        "valid": ("train", 4, 6),
        "test": ("t10k", 0, 4),
    }


def fault(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(UserError) as raised:
        read_idx(path)
    (line,) = raised.value.faults
    return line.removeprefix(f"{path}: ")


def load_fault(source: IdxSource, split: str = "train") -> str:
    with pytest.raises(UserError) as raised:
        source.load(split)
    (line,) = raised.value.faults
    return line


ONE = b"\0\0\x08\x01\0\0\0\x03abc"


def test_an_idx_file_is_an_array(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03" + bytes(range(6)))
    (tmp_path / "a.gz").write_bytes(gzip.compress((tmp_path / "a").read_bytes()))
    for name in ("a", "a.gz"):
        assert np.array_equal(read_idx(tmp_path / name), np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (b"", ("IDX file", "two zero bytes")),
        (b"\0\0\x08", ("IDX file", "two zero bytes")),
        (b"\x89PNG....", ("IDX file", "two zero bytes")),
        (b"\0\0\x0d" + ONE[3:], ("0x0d", "unsigned bytes", "0x08")),
        (ONE[:6], ("cut short", "header")),
        (ONE[:-1], ("header", "3 bytes", "2 follow")),
        (ONE + b"d", ("header", "3 bytes", "4 follow")),
        (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"a", ("IDX file", "header", "255 dimensions")),
        (
            b"\0\0\x08\x03" + b"\xff" * 12,
            ("header", "79,228,162,458,924,105,385,300,197,375 bytes", "0 follow"),
        ),
    ],
)
def test_broken_files(data: bytes, facts: tuple[str, ...], tmp_path: Path) -> None:
    assert_facts(fault(tmp_path / "a", data), *facts, "; fetch it again")
    assert_facts(fault(tmp_path / "a.gz", gzip.compress(data)), *facts, "; fetch it again")


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (ONE, "Not a gzipped file"),
        (gzip.compress(ONE * 50, mtime=0)[:-12], "end-of-stream marker"),
        (gzip.compress(ONE, mtime=0)[:10] + b"\xff" * 20, "invalid block type"),
    ],
)
def test_broken_packing(data: bytes, facts: str, tmp_path: Path) -> None:
    assert_facts(fault(tmp_path / "a.gz", data), "cannot be read: ", facts, "; fetch it again")


def test_a_flipped_byte_in_a_packed_file_is_noticed(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(ONE * 50, mtime=0))
    data[-6] ^= 1
    assert_facts(fault(tmp_path / "a.gz", bytes(data)), "cannot be read: ", "CRC", "; fetch it again")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path, facts in ((tmp_path / "a", ("no such file", "; put it there", "root")), (tmp_path, ("cannot be read",))):
        with pytest.raises(UserError) as raised:
            read_idx(path)
        assert raised.value.faults[0].startswith(f"{path}: ")
        assert_facts(raised.value.faults[0], *facts)


# The source.


@pytest.mark.parametrize("packed", [True, False])
def test_images_and_labels_by_split(packed: bool, idx_folder: Callable[..., Path]) -> None:
    source = Tiny(root=idx_folder(packed=packed))
    images = read_idx(next(path for path in source.files() if "train-images" in path.name))
    assert source.splits() == ("train", "valid", "test")
    for split, rows in (("train", slice(0, 4)), ("valid", slice(4, 6))):
        table = source.load(split)
        assert table.names == ("image", "label")
        assert np.array_equal(table.column("image"), images[rows])
        assert list(table.column("label")) == list(DIGITS[rows])
    assert len(source.load("test")) == 4


def test_the_four_files_make_the_cache_s_key(idx_folder: Callable[..., Path]) -> None:
    root = idx_folder(packed=False)
    assert sorted(Tiny(root=root).files()) == sorted(root.iterdir())


def test_an_unpacked_file_goes_before_a_packed_one(idx_folder: Callable[..., Path]) -> None:
    idx_folder(packed=True)
    root = idx_folder(packed=False)
    assert all(path.suffix != ".gz" for path in Tiny(root=root).files())


def test_root_overrides_the_search(idx_folder: Callable[..., Path], tmp_path: Path) -> None:
    assert Tiny(root=idx_folder()).located(lambda _: tmp_path / "x").root == tmp_path / "idx"
    assert Tiny().located(lambda name: tmp_path / name).root == tmp_path / "mnist"


def test_a_missing_file(idx_folder: Callable[..., Path]) -> None:
    root = idx_folder()
    (root / "train-labels-idx1-ubyte.gz").unlink()
    facts = ("no such file", "train-labels-idx1-ubyte.gz", "; put it there", "data.root", "`mmt data get mnist`")
    assert_facts(load_fault(Tiny(root=root)), f"{root / 'train-labels-idx1-ubyte'}: ", *facts)
    with pytest.raises(UserError, match="no such file"):
        Tiny(root=root).files()


def test_too_few_rows(idx_folder: Callable[..., Path]) -> None:
    root = idx_folder(train=5)
    assert len(Tiny(root=root).load("train")) == 4
    place = f"{root / 'train-images-idx3-ubyte.gz'}: "
    assert_facts(load_fault(Tiny(root=root), "valid"), place, "5 rows", "not 6", "; fetch")
    assert_facts(load_fault(MNIST(root=root)), place, "5 rows", "not 50,000", "; fetch")


def test_labels_where_images_should_be(idx_folder: Callable[..., Path]) -> None:
    root = idx_folder(packed=False)
    (root / "train-images-idx3-ubyte").write_bytes((root / "train-labels-idx1-ubyte").read_bytes())
    place = f"{root / 'train-images-idx3-ubyte'}: "
    assert_facts(load_fault(Tiny(root=root)), place, "1 dimensions", "not 3", "; fetch")


def test_a_label_out_of_range(idx_folder: Callable[..., Path]) -> None:
    root = idx_folder(packed=False)
    path = root / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    Tiny(root=root).load("train")
    assert_facts(load_fault(Tiny(root=root), "valid"), f"{path}: ", "row 5", "label 10", "10 classes", "; fetch")


def test_a_source_that_was_not_located() -> None:
    with pytest.raises(UserError) as raised:
        MNIST().files()
    (line,) = raised.value.faults
    assert_facts(line, "data.root: ", "not set", "; set", "mnist")


def test_a_broken_file_stops_preparation_with_its_line(idx_folder: Callable[..., Path], own_cache: Path) -> None:
    root = idx_folder(packed=False)
    path = root / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    image = Image(shape=(1, 28, 28), network="mlp")
    with pytest.raises(UserError) as raised:
        prepare(Tiny(root=root), {"image": image})
    (line,) = raised.value.faults
    assert_facts(line, f"{path}: ", "3,136 bytes", "3,135 follow", "; fetch")


def test_the_bundled_part_of_fashion_mnist() -> None:
    from mmtoolkit.catalogue.shipped import find_data_set

    source = FashionMini().located(find_data_set)
    tables = {split: source.load(split) for split in source.splits()}
    assert {split: len(table) for split, table in tables.items()} == {"train": 10_000, "valid": 1_000, "test": 2_000}
    for table in tables.values():
        assert np.asarray(table.column("image")).shape[1:] == (28, 28)
        assert set(table.column("label")) == set(source.classes)
