"""MultiMNIST: the recipe against an explicit loop, what the draws follow from, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from facts import assert_facts
from idx_files import idx_bytes
from mmt_image import Image as ImageModality
from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue.shipped import data_cards
from mmtoolkit.data.dataset import prepare
from mmtoolkit.sources import MNIST, MultiMNIST
from mmtoolkit.sources.multimnist import lay_out, shrink

CELLS = [(4, 4), (4, 23), (23, 4), (23, 23)]


class TinyDigits(MNIST):
    kind: Literal["tiny_digits"] = "tiny_digits"  # type: ignore[assignment]
    extents: ClassVar[dict[str, tuple[Literal["train", "t10k"], int, int]]] = {
        "train": ("train", 0, 10),
        "valid": ("train", 10, 20),
        "test": ("t10k", 0, 10),
    }


class Tiny(MultiMNIST):
    kind: Literal["tiny_multi"] = "tiny_multi"  # type: ignore[assignment]
    digits: ClassVar[type[MNIST]] = TinyDigits
    sizes: ClassVar[dict[str, int]] = {"train": 400, "valid": 90, "test": 90}


def write_digits(folder: Path, train: NDArray[np.uint8], test: NDArray[np.uint8]) -> Path:
    """MNIST's four files; the label of an image is its place, modulo ten."""
    folder.mkdir(exist_ok=True)
    for part, images in (("train", train), ("t10k", test)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        labels = (np.arange(len(images)) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder


def flat(levels: range) -> NDArray[np.uint8]:
    """Digits of one grey value each, right up to the margin: 28x28 with a black frame of a pixel's width or two."""
    images = np.zeros((len(levels), 28, 28), dtype=np.uint8)
    images[:, 4:24, 4:24] = np.array(levels, dtype=np.uint8)[:, None, None]
    return images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Digits that can be told apart by their grey value: 20, 25, … to train, then to validate, then to test."""
    return write_digits(tmp_path / "digits", flat(range(20, 120, 5)), flat(range(120, 170, 5)))


def columns(source: MultiMNIST, split: str = "train") -> tuple[NDArray[np.uint8], list[str]]:
    table = source.load(split)
    return np.asarray(table.column("image")), list(table.column("text"))


def small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((21, 21), Image.Resampling.BILINEAR))


def test_canvases_are_what_the_recipe_makes_of_their_text(root: Path) -> None:
    digits = flat(range(20, 70, 5))
    images, texts = columns(Tiny(root=root))
    assert images.shape == (400, 50, 50)
    assert images.dtype == np.uint8
    for image, text in zip(images, texts, strict=True):
        canvas = np.zeros((50, 50), dtype=int)
        for (row, column), letter in zip(CELLS, text, strict=False):
            canvas[row : row + 21, column : column + 21] += small(digits[int(letter)])
        assert np.array_equal(image, canvas)


def test_each_number_of_digits_is_as_likely_and_each_digit(root: Path) -> None:
    _, texts = columns(Tiny(root=root))
    counts = np.bincount([len(text) for text in texts], minlength=5)
    assert counts.shape == (5,)
    assert np.all(np.abs(counts - 80) < 4 * np.sqrt(400 * 0.2 * 0.8))
    letters = np.bincount([int(letter) for text in texts for letter in text], minlength=10)
    assert np.all(np.abs(letters - letters.sum() / 10) < 4 * np.sqrt(letters.sum() * 0.1 * 0.9))


def test_an_empty_canvas_has_an_empty_text_that_is_there(root: Path) -> None:
    images, texts = columns(Tiny(root=root, max_digits=0))
    assert not images.any()
    assert set(texts) == {""}


@pytest.mark.parametrize(("fewest", "most"), [(1, 1), (2, 3), (4, 4)])
def test_how_many_digits(fewest: int, most: int, root: Path) -> None:
    _, texts = columns(Tiny(root=root, min_digits=fewest, max_digits=most))
    assert {len(text) for text in texts} == set(range(fewest, most + 1))


def test_shrinking_weighs_pixels_with_a_triangle_as_wide_as_the_scale() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    scale = 28 / 21
    weights = np.zeros((21, 28))
    for i in range(21):
        for j in range(28):
            weights[i, j] = max(0.0, 1 - abs((i + 0.5) * scale - (j + 0.5)) / scale)
    weights /= weights.sum(1, keepdims=True)
    assert np.abs(shrink(images) - weights @ images @ weights.T).max() <= 1  # rounded twice


def test_overlapping_digits_are_summed_beyond_255() -> None:
    digits = np.full((1, 21, 21), 100, dtype=np.uint8)
    total = lay_out(digits, np.zeros((1, 4), dtype=int), np.array([4]))[0]
    assert total[23:25, 23:25].tolist() == [[400, 400], [400, 400]]
    assert total[10, 23] == total[23, 10] == 200
    assert total[10, 10] == 100
    assert total[:4].sum() == total[44:].sum() == total[:, :4].sum() == total[:, 44:].sum() == 0


def test_a_canvas_that_would_pass_255_is_drawn_again(tmp_path: Path) -> None:
    """Digits without a margin: four of grey 60 just fit (240), one of 80 among them does not (260)."""
    levels = np.array([60, 80] * 10, dtype=np.uint8)
    images = np.repeat(np.repeat(levels[:, None, None], 28, 1), 28, 2)
    source = Tiny(root=write_digits(tmp_path / "d", images, images), min_digits=4)
    canvases, texts = columns(source)
    assert {int(letter) % 2 for text in texts for letter in text} == {0}  # the grey of an even digit is 60
    assert len(set(texts)) > 200  # drawn, not taken from others
    assert canvases.max() == 240


def test_digits_that_never_fit_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmtoolkit.sources.multimnist._MOST_DRAWS", 3)
    images = np.full((20, 28, 28), 200, dtype=np.uint8)
    folder = write_digits(tmp_path / "d", images, images)
    with pytest.raises(UserError) as raised:
        Tiny(root=folder, min_digits=2).load("train")
    (line,) = raised.value.faults
    assert_facts(line, f"{folder}: ", "400 canvases", "3 times", "overlap", "black margin", "; set data.root", "mnist")
    columns(Tiny(root=folder, max_digits=1))  # one alone fits


def test_the_same_seed_draws_the_same_and_another_another(root: Path) -> None:
    first, again, other = (columns(Tiny(root=root, seed=seed)) for seed in (0, 0, 1))
    assert np.array_equal(first[0], again[0])
    assert first[1] == again[1]
    assert first[1] != other[1]
    assert columns(Tiny(root=root), "valid")[1] != first[1][:90]
    assert columns(Tiny(root=root), "valid")[1] != columns(Tiny(root=root), "test")[1]


def test_the_draws_stay_as_they_are(root: Path) -> None:
    assert columns(Tiny(root=root))[1][:6] == ["98", "", "91", "", "312", ""]


def test_each_split_has_digits_of_its_own(root: Path) -> None:
    for split, low, high in (("train", 20, 65), ("valid", 70, 115), ("test", 120, 165)):
        images, texts = columns(Tiny(root=root, min_digits=1, max_digits=1), split)
        assert {image.max() for image in images} <= set(range(low, high + 1, 5))
        assert [int(image.max() - low) // 5 for image in images] == [int(text) for text in texts]


def test_fewer_rows_are_the_first_of_all(root: Path, own_cache: Path) -> None:
    image = ImageModality(shape=(1, 50, 50))
    whole = prepare(Tiny(root=root), {"image": image}).splits["train"]
    part = prepare(Tiny(root=root, rows={"train": 7}), {"image": image}).splits["train"]
    assert len(whole) == 400
    assert len(part) == 7
    assert part.stored["image"].equal(whole.stored["image"][:7])


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"min_digits": 3, "max_digits": 2}, "min_digits is 3 and max_digits 2; "),
        ({"max_digits": 5}, "less than or equal to 4"),
        ({"min_digits": -1}, "greater than or equal to 0"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"digits": 3}, "Extra inputs are not permitted"),
    ],
)
def test_options_are_checked(options: dict[str, int], fact: str) -> None:
    with pytest.raises(ValidationError, match=fact):
        MultiMNIST(**options)


def test_its_size_is_the_paper_s_and_its_data_mnist_s() -> None:
    assert MultiMNIST.sizes == {"train": 50_000, "valid": 10_000, "test": 10_000} == data_cards()["mnist"].splits
    assert MultiMNIST.digits is MNIST
    assert MultiMNIST().located(lambda name: Path("/data") / name).root == Path("/data/mnist")
    assert MultiMNIST(root=Path("/mine")).located(lambda name: Path("/data") / name).root == Path("/mine")


def test_it_reads_the_four_files_of_mnist(root: Path) -> None:
    assert sorted(Tiny(root=root).files()) == sorted(root.iterdir())


def test_absent_mnist_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        MultiMNIST(root=tmp_path).load("train")
    (line,) = raised.value.faults
    assert_facts(line, f"{tmp_path / 'train-images-idx3-ubyte'}: ", "no such file", "data.root", "`mmt data get mnist`")


def test_images_of_another_size(idx_folder: Callable[..., Path]) -> None:
    root = idx_folder(train=20, t10k=10, side=20)
    with pytest.raises(UserError) as raised:
        Tiny(root=root).load("test")
    (line,) = raised.value.faults
    assert_facts(line, f"{root}: ", "20x20 pixels", "28x28", "; set data.root", "mnist")
