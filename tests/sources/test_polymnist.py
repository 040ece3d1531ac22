"""PolyMNIST: the recipe against an explicit loop, the release in both layouts, and what is refused."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from facts import assert_facts
from idx_files import idx_bytes
from mmt_image import Image as ImageModality
from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue.shipped import data_cards
from mmtoolkit.components import Table
from mmtoolkit.data.dataset import prepare
from mmtoolkit.sources import MNIST, PolyMNIST
from mmtoolkit.sources.photographs import SHIPPED, shipped_photographs
from mmtoolkit.sources.polymnist_views import draw_view, put_on
from mmtoolkit.testing import check_source

VIEWS = ("m0", "m1", "m2")


class TinyDigits(MNIST):
    kind: Literal["tiny_digits"] = "tiny_digits"  # type: ignore[assignment]
    extents: ClassVar[dict[str, tuple[Literal["train", "t10k"], int, int]]] = {
        "train": ("train", 0, 70),
        "valid": ("train", 70, 90),
        "test": ("t10k", 0, 40),
    }


class Tiny(PolyMNIST):
    kind: Literal["tiny_poly"] = "tiny_poly"  # type: ignore[assignment]
    digits: ClassVar[type[MNIST]] = TinyDigits
    valid: int = 20


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Path, ...]]:
    """MNIST's files, in which each image has a pattern of its own, and three photographs."""
    folder, draw = tmp_path_factory.mktemp("poly"), np.random.default_rng(0)
    (folder / "mnist").mkdir()
    for part, rows in (("train", 90), ("t10k", 40)):
        images = draw.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
        images[:, 0, 0], images[:, 0, 1] = 128, 129  # the last that is background, the first that is digit
        labels = draw.integers(0, 4, rows, dtype=np.uint8)
        (folder / "mnist" / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / "mnist" / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    photographs = []
    for place, size in enumerate(((33, 41), (29, 60), (50, 29))):
        file = folder / f"photograph{place}.png"
        Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)).save(file)
        photographs.append(file)
    return folder / "mnist", tuple(photographs)


@pytest.fixture
def tiny(result: tuple[Path, tuple[Path, ...]]) -> Callable[..., PolyMNIST]:
    """A source of three views, with other options."""
    root, photographs = result
    return lambda **options: Tiny(**{"root": root, "backgrounds": photographs, "views": 3, **options})


def pixels(table: Table, view: str) -> NDArray[np.uint8]:
    return np.asarray(table.column(view))


def digits(table: Table) -> list[str]:
    return [str(digit) for digit in table.column("digit")]


def fault(source: PolyMNIST, split: str = "train") -> str:
    with pytest.raises(UserError) as raised:
        source.load(split)
    (line,) = raised.value.faults
    return line


def slow_view(
    images: NDArray[np.uint8], labels: list[str], photograph: NDArray[np.uint8], view: Any
) -> list[NDArray[np.uint8]]:
    """The recipe as its authors write it: each pixel by itself."""
    rows = []
    for image, top, left in zip(view.images, view.tops, view.lefts, strict=True):
        picture = np.zeros((3, 28, 28), dtype=np.uint8)
        for y in range(28):
            for x in range(28):
                for channel in range(3):
                    value = int(photograph[top + y, left + x, channel])
                    picture[channel, y, x] = 255 - value if images[image, y, x] > 128 else value
        rows.append(picture)
    return rows


# From MNIST.


def test_pictures_are_what_the_recipe_makes_of_the_draws(tiny: Callable[..., PolyMNIST]) -> None:
    source = tiny()
    table = source.load("test")
    mnist = TinyDigits(root=source.root).load("test")
    images, labels = np.asarray(mnist.column("image")), np.asarray(mnist.column("label"))
    assert digits(table) == list(labels)
    for place, file in enumerate(source.backgrounds or ()):
        photograph = np.asarray(Image.open(file))
        generator = np.random.default_rng([0, 0xD87F7E0C, place])  # 0xd87f7e0c is the CRC-32 of `test`
        view = draw_view(labels, photograph, generator)
        slow = slow_view(images, list(labels), photograph, view)
        result = pixels(table, f"m{place}")
        assert result.dtype == np.uint8
        assert result.shape == (40, 3, 28, 28)
        assert np.array_equal(result, np.array(slow))


def test_each_row_of_a_view_shows_another_image_of_its_digit_and_each_image_once() -> None:
    labels = np.array(list("0123456789") * 300)
    generator = np.random.default_rng(0)
    first, second = (draw_view(labels, np.zeros((40, 50, 3), np.uint8), generator) for _ in range(2))
    for view in (first, second):
        assert sorted(view.images) == list(range(3000))
        assert (labels[view.images] == labels).all()
        assert (view.images == np.arange(3000)).mean() < 0.02  # one in 300 by chance
        assert set(view.tops) == set(range(12))  # of 40 lines: 0 to 11, as the authors draw them
        assert set(view.lefts) == set(range(22))
    assert (first.images == second.images).mean() < 0.02


def test_a_pixel_is_inverted_above_128_alone() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 0, :4] = 127, 128, 129, 255
    photograph = np.full((29, 29, 3), (10, 100, 250), np.uint8)
    result = put_on(image, photograph, np.zeros(1, int), np.zeros(1, int))[0]
    assert result[:, 0, :5].T.tolist() == [[10, 100, 250]] * 2 + [[245, 155, 5]] * 2 + [[10, 100, 250]]


def test_the_same_seed_draws_the_same_and_another_another(tiny: Callable[..., PolyMNIST]) -> None:
    first, again, other = (tiny(seed=seed).load("train") for seed in (0, 0, 1))
    assert np.array_equal(pixels(first, "m1"), pixels(again, "m1"))
    assert not np.array_equal(pixels(first, "m1"), pixels(other, "m1"))
    assert digits(first) == digits(other)


def test_the_draws_stay_as_they_are() -> None:
    view = draw_view(np.array(list("0011001")), np.zeros((40, 50, 3), np.uint8), np.random.default_rng([0, 1]))
    assert [column.tolist() for column in view] == [
        [5, 0, 3, 6, 4, 1, 2],
        [9, 2, 11, 10, 0, 0, 2],
        [5, 17, 5, 0, 0, 15, 21],
    ]


def test_fewer_views_are_the_first_of_all(tiny: Callable[..., PolyMNIST]) -> None:
    three, two = tiny().load("train"), tiny(views=2).load("train")
    assert two.names == ("m0", "m1", "digit")
    assert np.array_equal(pixels(two, "m1"), pixels(three, "m1"))


def test_splits_share_no_image(tiny: Callable[..., PolyMNIST]) -> None:
    for valid, train in ((20, 70), (35, 55), (0, 90)):
        source = tiny(valid=valid)
        mnist = TinyDigits(root=source.root)
        labels = [digit for part in ("train", "valid") for digit in mnist.load(part).column("label")]
        assert source.splits() == (("train", "valid", "test") if valid else ("train", "test"))
        assert digits(source.load("train")) == labels[:train]
        if valid:
            assert digits(source.load("valid")) == labels[train:]
        assert len(source.load("test")) == 40


def test_prepared_rows_are_the_first_of_all(tiny: Callable[..., PolyMNIST], own_cache: Path) -> None:
    image = ImageModality(shape=(3, 28, 28))
    part = prepare(tiny(rows={"train": 7}), {"m2": image}).splits["train"]
    assert np.array_equal(part.stored["m2"].numpy(), pixels(tiny().load("train"), "m2")[:7])


def test_it_reads_mnist_and_the_photographs(tiny: Callable[..., PolyMNIST]) -> None:
    source = tiny(views=2)
    assert source.root
    assert source.backgrounds
    assert sorted(source.files()) == sorted([*source.root.iterdir(), *source.backgrounds[:2]])


def test_the_source_holds_what_a_source_promises(tiny: Callable[..., PolyMNIST]) -> None:
    check_source(tiny())


def test_the_shipped_photographs_are_large_enough_and_differ() -> None:
    pytest.importorskip("skimage")
    photographs = shipped_photographs(5)
    assert SHIPPED == (
        "coffee",
        "rocket",
        "hubble_deep_field",
        "chelsea",
        "astronaut",
    )  # another order is another data set
    assert len(photographs) == 5
    assert len({photograph.tobytes() for photograph in photographs}) == 5
    for photograph in photographs:
        assert photograph.dtype == np.uint8
        assert photograph.shape[2] == 3
        assert min(photograph.shape[:2]) >= 300


def test_without_scikit_image(tiny: Callable[..., PolyMNIST], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "skimage.data", None)
    line = fault(tiny(backgrounds=None))
    assert_facts(line, "data.backgrounds: ", "scikit-image", "`pip install 'mmtoolkit[vision]'`", "files of your own")


# The release.


@pytest.fixture
def release(tmp_path: Path, tiny: Callable[..., PolyMNIST]) -> Path:
    """The rows of `tiny`, written as their authors wrote them: a number that counts within each digit."""
    folder = tmp_path / "release"
    for split in ("train", "test"):
        table, counts = tiny(valid=0).load(split), dict.fromkeys("0123456789", 0)
        for row, digit in enumerate(digits(table)):
            for view in VIEWS:
                file = folder / split / view / f"{counts[digit]}.{digit}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels(table, view)[row].transpose(1, 2, 0)).save(file)
            counts[digit] += 1
    return folder


def content(table: Table) -> list[tuple[str, bytes, bytes, bytes]]:
    """Digit and pixels of each row."""
    columns = [
        [
            np.asarray(Image.open(cell)).transpose(2, 0, 1) if isinstance(cell, Path) else cell
            for cell in table.column(view)
        ]
        for view in VIEWS
    ]
    return [(d, *(c[row].tobytes() for c in columns)) for row, d in enumerate(digits(table))]  # type: ignore[misc]


def test_the_release_has_the_rows_that_were_written(
    release: Path, tiny: Callable[..., PolyMNIST], own_cache: Path
) -> None:
    source = Tiny(origin="release", root=release, views=3)
    for split in ("train", "test"):
        read, written = content(source.model_copy(update={"valid": 0}).load(split)), content(tiny(valid=0).load(split))
        assert sorted(read) == sorted(written)
        assert read != written  # in another order, so that the first rows have all digits
    train, valid = content(source.load("train")), content(source.load("valid"))
    assert len(train) == 70
    assert [*train, *valid] == content(source.model_copy(update={"valid": 0}).load("train"))
    stored = prepare(source, {"m1": ImageModality(shape=(3, 28, 28))}).splits["train"].stored["m1"]
    assert [row.numpy().tobytes() for row in stored] == [row[2] for row in train]


def test_the_first_rows_of_the_release_have_all_digits(release: Path) -> None:
    assert set(digits(Tiny(origin="release", root=release, views=3).load("train"))[:20]) == set("0123")


def test_the_release_lists_its_files_and_promises_what_a_source_does(release: Path) -> None:
    source = Tiny(origin="release", root=release, views=3)
    assert sorted(source.files()) == sorted(release.rglob("*.png"))
    check_source(source)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_tensors_are_the_same_rows(dtype: torch.dtype, tmp_path: Path, tiny: Callable[..., PolyMNIST]) -> None:
    folder = write_tensors(tmp_path / "tensors", tiny, dtype)
    source = Tiny(origin="release", root=folder, views=3)
    assert sorted(content(source.load("test"))) == sorted(content(tiny().load("test")))
    assert sorted(source.files()) == sorted(folder.rglob("*.pt"))
    check_source(source)


def write_tensors(folder: Path, tiny: Callable[..., PolyMNIST], dtype: torch.dtype = torch.float32) -> Path:
    for split in ("train", "test"):
        table = tiny(valid=0).load(split)
        (folder / split).mkdir(parents=True)
        for view in VIEWS:
            values = torch.from_numpy(pixels(table, view))
            torch.save(values if dtype == torch.uint8 else values / 255, folder / split / f"{view}.pt")
        torch.save(torch.tensor([int(digit) for digit in digits(table)]), folder / split / "labels.pt")
    return folder


# What is refused.


def test_a_missing_folder(release: Path, tmp_path: Path) -> None:
    line = fault(Tiny(origin="release", root=tmp_path / "nowhere", views=3))
    assert_facts(line, f"{tmp_path / 'nowhere' / 'train' / 'm0'}: ", "no such folder", "m0.pt", "data.root", "origin")
    shutil.rmtree(release / "train" / "m2")
    line = fault(Tiny(origin="release", root=release, views=3))
    assert_facts(line, f"{release / 'train' / 'm2'}: ", "No such file", "`mmt data get polymnist`", "data.views")
    assert len(Tiny(origin="release", root=release, views=2).load("train")) == 70


def test_a_view_with_fewer_pictures(release: Path) -> None:
    (release / "train" / "m1" / "3.2.png").unlink()
    line = fault(Tiny(origin="release", root=release, views=3))
    assert_facts(line, f"{release / 'train' / 'm1'}: ", "89 pictures", "m0 90", "3.2.png", "fetch the data set again")


def test_a_view_with_more_pictures(release: Path) -> None:
    shutil.copy(release / "train" / "m1" / "3.2.png", release / "train" / "m1" / "999.2.png")
    line = fault(Tiny(origin="release", root=release, views=3))
    assert_facts(line, f"{release / 'train' / 'm1'}: ", "91 pictures", "m0 lacks 999.2.png", "fetch the data set again")


def test_a_row_with_two_digits(release: Path) -> None:
    folder = release / "train" / "m2"
    (folder / "2.1.png").rename(folder / "2.9.png")
    line = fault(Tiny(origin="release", root=release, views=3))
    assert_facts(line, f"{folder / '2.9.png'}: ", "digit 9", "2.1.png", "one digit in all views", "fetch")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seven.png", "7.png", "07.3.png", "7.12.png", "-1.3.png"])
def test_a_wrong_name(name: str, release: Path) -> None:
    shutil.copy(release / "train" / "m1" / "2.1.png", release / "train" / "m1" / name)
    line = fault(Tiny(origin="release", root=release, views=3))
    assert_facts(line, f"{release / 'train' / 'm1' / name}: ", "INDEX.DIGIT.png", "7.3.png", "rename")


def test_an_empty_view_and_files_that_are_no_pictures(release: Path) -> None:
    (release / "train" / "m0" / "Thumbs.db").touch()
    (release / "train" / "m0" / "._2.1.png").touch()
    assert len(Tiny(origin="release", root=release, views=3).load("train")) == 70
    for file in (release / "train" / "m0").iterdir():
        file.unlink()
    line = fault(Tiny(origin="release", root=release, views=3))
    assert_facts(line, f"{release / 'train' / 'm0'}: ", "no picture", "fetch")


def pickled() -> bytes:
    file = io.BytesIO()
    torch.save({"pixels": 1}, file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "value", "facts"),
    [
        ("labels.pt", torch.arange(90), ("from 0 to 9", "(90,)")),
        ("labels.pt", torch.zeros(90, 10), ("one digit", "(90, 10)")),
        ("labels.pt", torch.full((90,), 0.5), ("one digit",)),
        ("m1.pt", torch.zeros(80, 3, 28, 28), ("(80, 3, 28, 28)", "(90, 3, 28, 28)", "90 digits")),
        ("m1.pt", torch.full((90, 3, 28, 28), 1.5), ("floats from 0 to 1",)),
        ("m1.pt", torch.full((90, 3, 28, 28), float("nan")), ("floats from 0 to 1",)),
        ("m1.pt", torch.zeros(90, 3, 28, 28, dtype=torch.int64), ("uint8",)),
        ("m1.pt", b"no tensor", ("cannot be read",)),
        ("m1.pt", pickled(), ("a dict, not a tensor",)),
        ("m1.pt", None, ("no such file",)),
    ],
)
def test_damaged_tensors(
    name: str, value: Any, facts: tuple[str, ...], tmp_path: Path, tiny: Callable[..., PolyMNIST]
) -> None:
    folder = write_tensors(tmp_path / "tensors", tiny)
    path = folder / "train" / name
    if value is None:
        path.unlink()
    elif isinstance(value, bytes):
        path.write_bytes(value)
    else:
        torch.save(value, path)
    with pytest.raises(UserError) as raised:
        Tiny(origin="release", root=folder, views=3).load("train").column("m1")
    (line,) = raised.value.faults
    assert_facts(line, f"{path}: ", *facts, "fetch the data set again")


def test_photographs_that_are_missing_damaged_or_too_small(tmp_path: Path, tiny: Callable[..., PolyMNIST]) -> None:
    files = tuple(tmp_path / name for name in ("none.png", "broken.png", "small.png"))
    files[1].write_bytes(b"no picture")
    Image.new("RGB", (40, 28)).save(files[2])
    for file, facts in zip(
        files, (("no such file",), ("no picture", "replace it"), ("40x28 pixels", "larger than 28x28")), strict=True
    ):
        assert_facts(fault(tiny(backgrounds=(file, file, file))), f"{file}: ", *facts, "data.backgrounds")


def test_too_many_rows_to_validate(tiny: Callable[..., PolyMNIST], release: Path) -> None:
    for source in (tiny(valid=90), Tiny(origin="release", root=release, views=3, valid=90)):
        assert_facts(fault(source), "data.valid: ", "is 90", "90 training rows", "fewer")


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"views": 1}, "greater than or equal to 2"),
        ({"views": 6}, "less than or equal to 5"),
        ({"valid": -1}, "greater than or equal to 0"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"origin": "svhn"}, "'mnist' or 'release'"),
        ({"backgrounds": ["a.png", "b.png"]}, "names 2 files for 5 views; name 5, or set views"),
        ({"origin": "release", "backgrounds": ["a.png"] * 5}, "its own backgrounds; remove backgrounds"),
    ],
)
def test_options_are_checked(options: dict[str, Any], fact: str) -> None:
    with pytest.raises(ValidationError, match=fact):
        PolyMNIST(**options)


def test_images_of_another_size(idx_folder: Callable[..., Path], tiny: Callable[..., PolyMNIST]) -> None:
    root = idx_folder(train=90, t10k=40, side=20)
    assert_facts(fault(tiny(root=root), "test"), f"{root}: ", "20x20 pixels", "28x28", "; set data.root", "mnist")


def test_where_its_data_is_searched_for() -> None:
    def find(name: str) -> Path:
        return Path("/data") / name

    assert PolyMNIST().located(find).root == Path("/data/mnist")
    assert PolyMNIST(origin="release").located(find).root == Path("/data/polymnist")
    assert PolyMNIST(root=Path("/mine")).located(find).root == Path("/mine")
    assert PolyMNIST.digits is MNIST
    assert data_cards()["polymnist"].splits == {"train": 60_000, "test": 10_000}
    assert_facts(fault(PolyMNIST(origin="release")), "data.root: ", "not set", "polymnist")
