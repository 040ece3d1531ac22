"""Six views of a face: each against an explicit description, what is missing, and what is damaged."""

from __future__ import annotations

import sys
import types
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from skimage.feature import canny

from faces import ATTRIBUTES, LOST, NAMES, SIZE, UNKNOWN, VALUES, pack, points, write_landmarks, write_release
from facts import assert_facts
from mmt_image import Image as ImageModality
from mmtoolkit.base.errors import UserError
from mmtoolkit.data.dataset import prepare
from mmtoolkit.sources import CelebA, CelebAVision, celeba_vision
from mmtoolkit.sources.celeba_release import open_picture
from mmtoolkit.sources.landmarks import DetectedLandmarks, scale_points
from mmtoolkit.sources.transformations import convex_hull, edges, mask, watermark, watermarked

VIEWS = ["image", "grey", "edges", "mask", "obscured", "watermarked"]
COLOURED = {"image", "obscured", "watermarked"}
TRAIN = range(1, 7)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_release(tmp_path / "celeba", landmarks=True)


def picture(root: Path, number: int) -> Image.Image:
    with Image.open(root / "img_align_celeba" / NAMES[number - 1]) as opened:
        return opened.convert("RGB")


def view(root: Path, name: str, split: str = "train", **options: Any) -> list[Any]:
    return list(CelebAVision(root=root, **options).load(split).column(name))


# The views.


def test_its_columns(root: Path) -> None:
    table = CelebAVision(root=root).load("train")
    assert table.names == (*VIEWS, *ATTRIBUTES)
    assert len(table) == 6
    assert list(table.column("Male")) == VALUES[:6, ATTRIBUTES.index("Male")].tolist()
    (chunk,) = table.chunks(VIEWS, 6)
    for name in VIEWS:
        for cell in (cell for cell in chunk[name] if cell is not None):
            assert cell.dtype == np.uint8
            assert cell.shape == ((78, 64, 3) if name in COLOURED else (78, 64))


def test_grey_is_the_luma(root: Path) -> None:
    for number, cell in zip(TRAIN, view(root, "grey"), strict=True):
        red, green, blue = np.asarray(picture(root, number), dtype=float).transpose(2, 0, 1)
        assert np.abs(cell - (0.299 * red + 0.587 * green + 0.114 * blue)).max() <= 1


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_edges_are_scikit_image_s_on_the_grey_picture(sigma: float, root: Path) -> None:
    cells = view(root, "edges", sigma=sigma)
    for number, cell in zip(TRAIN, cells, strict=True):
        assert np.array_equal(cell == 255, canny(np.asarray(picture(root, number).convert("L")), sigma=sigma))
        assert set(np.unique(cell)) == {0, 255}
    if sigma == 1.0:
        assert np.array_equal(cells, view(root, "edges"))  # it is the default


def test_the_right_half_is_obscured(root: Path) -> None:
    for number, cell in zip(TRAIN, view(root, "obscured"), strict=True):
        assert np.array_equal(cell[:, :32], np.asarray(picture(root, number))[:, :32])
        assert not cell[:, 32:].any()


def test_the_watermark_lightens_fixed_pixels_and_no_others(root: Path) -> None:
    cover = np.asarray(watermark(SIZE)) / 255
    assert 0.1 < (cover > 0.1).mean() < 0.35
    assert cover.max() == pytest.approx(0.6, abs=0.01)
    for number, cell in zip(TRAIN, view(root, "watermarked"), strict=True):
        pixels = np.asarray(picture(root, number), dtype=float)
        expected = pixels + (255 - pixels) * cover[..., None]
        assert np.abs(cell - expected).max() <= 1


def test_the_watermark_is_scaled_to_the_picture() -> None:
    large = np.asarray(watermark((178, 218)).resize((64, 78), Image.Resampling.BOX), dtype=float)
    assert np.abs(large - np.asarray(watermark((64, 78)), dtype=float)).mean() < 8
    dark = Image.new("RGB", (178, 218))
    assert np.array_equal(watermarked(dark), np.repeat(np.asarray(watermark((178, 218)))[..., None], 3, 2))


def hull(corners: NDArray[np.int_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels in the convex hull: those that no line through two corners, all corners on one side of it, cuts off."""
    y, x = np.mgrid[: size[1], : size[0]]
    inside = np.ones(size[::-1], dtype=bool)
    for ax, ay in corners:
        for bx, by in corners:
            beyond = (bx - ax) * (corners[:, 1] - ay) - (by - ay) * (corners[:, 0] - ax)
            if (ax, ay) != (bx, by) and beyond.min() >= 0:
                inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0
    return inside


@pytest.mark.parametrize("size", [(64, 78), (178, 218)])
def test_a_mask_is_the_hulls_of_the_parts_and_the_line_of_the_jaw(size: tuple[int, int]) -> None:
    corners = np.rint(scale_points(points(4), size)).astype(int)
    cell = mask(size, scale_points(points(4), size))
    assert cell.shape == size[::-1]
    assert set(np.unique(cell)) == {0, 255}
    assert all(cell[y, x] == 255 for x, y in corners)
    parts = np.zeros(size[::-1], dtype=bool)
    for first, last in ((17, 22), (22, 27), (27, 36), (36, 42), (42, 48), (48, 68)):
        parts |= hull(corners[first:last], size)
    assert parts.mean() > 0.02
    assert np.all(cell[parts] == 255)
    y, x = np.mgrid[: size[1], : size[0]]
    jaw = np.full(size[::-1], np.inf)  # how far it is
    for (ax, ay), (bx, by) in pairwise(corners[:17]):
        for t in np.linspace(0, 1, 9):
            jaw = np.minimum(jaw, np.hypot(ax + (bx - ax) * t - x, ay + (by - ay) * t - y))
    assert np.all(cell[jaw < 0.35] == 255)
    near = parts.copy()
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            near |= np.roll(parts, (i, j), (0, 1))
    assert not cell[~near & (jaw > 2)].any()


def test_landmarks_are_scaled_by_the_centres_of_pixels() -> None:
    corners = np.array([[0, 0], [177, 217], [88.5, 108.5]])
    assert np.allclose(scale_points(corners, (178, 218)), corners)
    assert np.allclose(scale_points(corners, (89, 109)), [[-0.25, -0.25], [88.25, 108.25], [44.0, 54.0]])


def test_the_convex_hull() -> None:
    square = [(0, 0), (4, 0), (4, 4), (0, 4)]
    assert sorted(convex_hull([*square, (2, 2), (2, 0), (0, 4), (1, 3)])) == sorted(square)
    assert sorted(convex_hull([(0, 0), (2, 2), (1, 1)])) == [(0, 0), (2, 2)]
    assert convex_hull([(3, 3), (3, 3)]) == [(3, 3)]


def test_landmarks_beyond_the_picture_and_in_one_point() -> None:
    assert mask((64, 78), np.full((68, 2), 500.0)).sum() == 0
    assert mask((64, 78), np.full((68, 2), 5.0))[5, 5] == 255


def test_views_of_a_picture_of_a_few_pixels() -> None:
    tiny = Image.new("RGB", (1, 2), "white")
    assert edges(tiny, 1.0).shape == (2, 1)
    assert watermarked(tiny).shape == (2, 1, 3)


# Faces that are not found.


def test_a_face_that_was_not_found_has_no_mask(root: Path, own_cache: Path) -> None:
    cells = view(root, "mask")
    assert [number for number, cell in zip(TRAIN, cells, strict=True) if cell is None] == [LOST, UNKNOWN]
    for number, cell in zip(TRAIN, cells, strict=True):
        if cell is not None:
            assert np.array_equal(cell, mask(SIZE, scale_points(points(number), SIZE)))
    source = CelebAVision(root=root)
    (note,) = source.notes()
    assert_facts(note, "column mask", str(root / "landmarks68.npz"), "2 of 12 faces", "no mask")
    image = ImageModality(shape=(1, 64, 64))
    dataset = prepare(source, {"grey": image, "mask": image})
    assert dataset.splits["train"].present.tolist() == [[True, n not in (LOST, UNKNOWN)] for n in TRAIN]
    assert note in dataset.notes


def test_the_landmarks_are_part_of_the_files(root: Path) -> None:
    assert CelebAVision(root=root).files() == [*CelebA(root=root).files(), root / "landmarks68.npz"]
    (root / "landmarks68.npz").unlink()
    assert CelebAVision(root=root).files() == CelebA(root=root).files()


@pytest.mark.parametrize(
    ("arrays", "facts"),
    [
        ({"image_id": np.arange(2)}, ("points",)),
        (
            {"image_id": np.arange(2), "points": np.zeros((2, 5, 2)), "detected": np.ones(2, bool)},
            ("image_id, points and detected", "(2,), (2, 5, 2) and (2,)", "(N,), (N, 68, 2) and (N,)"),
        ),
        (
            {"image_id": np.array(["a"], object), "points": np.zeros((1, 68, 2)), "detected": np.ones(1, bool)},
            ("cannot be read: ", "Object arrays"),
        ),
        (
            {"image_id": np.arange(2.0), "points": np.zeros((2, 68, 2)), "detected": np.ones(2, bool)},
            ("image_id", "whole numbers", "points", "finite numbers"),
        ),
        (
            {"image_id": np.arange(2), "points": np.full((2, 68, 2), np.nan), "detected": np.array([0, 1])},
            ("image_id", "whole numbers", "points", "finite numbers"),
        ),
        (None, ("cannot be read: ",)),
    ],
)
def test_a_broken_file_of_landmarks(arrays: dict[str, NDArray[Any]] | None, facts: tuple[str, ...], root: Path) -> None:
    path = root / "landmarks68.npz"
    if arrays is None:
        path.write_bytes(path.read_bytes()[:300])
    else:
        np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError) as raised:
        CelebAVision(root=root).load("train")
    (line,) = raised.value.faults
    assert_facts(line, f"{path}: ", *facts, "; make it again", "remove it", "dlib")


# Dlib, which detects landmarks if no file has them.


class FakeParts:
    def __init__(self, number: int) -> None:
        self._number = number

    def parts(self) -> list[types.SimpleNamespace]:
        return [types.SimpleNamespace(x=int(x), y=int(y)) for x, y in points(self._number)]


@pytest.fixture
def dlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, ...]]:
    """A stand-in for dlib that sees a face unless the top left pixel is that of LOST; the shapes of its inputs."""
    shapes: list[tuple[int, ...]] = []

    class Detector:
        def run(self, pixels: NDArray[np.uint8], upsample: int, threshold: float) -> tuple[list[str], list[float], Any]:
            shapes.append(pixels.shape)
            return ([], [], []) if abs(int(pixels[0, 0, 0]) - 20 * LOST) < 8 else (["sure", "unsure"], [2.0, 1.0], [])

    def predictor(path: str) -> Any:
        assert Path(path).read_bytes() == b"model"

        def predict(pixels: NDArray[np.uint8], where: str) -> FakeParts:
            assert where == "sure"
            return FakeParts(1)

        return predict

    module = types.ModuleType("dlib")
    module.get_frontal_face_detector = Detector  # type: ignore[attr-defined]
    module.shape_predictor = predictor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dlib", module)
    models = tmp_path / "site" / "face_recognition_models"
    (models / "models").mkdir(parents=True)
    (models / "__init__.py").write_text("import pkg_resources_that_is_gone\n")
    (models / "models" / "shape_predictor_68_face_landmarks.dat").write_bytes(b"model")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return shapes


def test_dlib_detects_landmarks_without_a_file(root: Path, dlib: list[tuple[int, ...]]) -> None:
    (root / "landmarks68.npz").unlink()
    cells = view(root, "mask")
    assert [number for number, cell in zip(TRAIN, cells, strict=True) if cell is None] == [LOST]
    assert np.array_equal(cells[0], mask(SIZE, scale_points(points(1), SIZE)))
    assert dlib == [(218, 178, 3)] * 6
    (note,) = CelebAVision(root=root).notes()
    assert_facts(note, "column mask", "dlib", "landmarks68.npz", "data.root")


@pytest.mark.parametrize("lacks", ["dlib", "its model"])
def test_without_dlib_only_the_mask_cannot_be_made(
    lacks: str, root: Path, dlib: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacks == "dlib":
        monkeypatch.setitem(sys.modules, "dlib", None)
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (root / "landmarks68.npz").unlink()
    assert len(CelebAVision(root=root).notes()) == 1
    assert len(view(root, "watermarked")) == 6
    with pytest.raises(UserError) as raised:
        view(root, "mask")
    (line,) = raised.value.faults
    assert_facts(
        line, "column mask: ", "landmarks68.npz", "data.root", "dlib", "; run `pip install 'mmtoolkit[vision]'`"
    )


def test_without_scikit_image_only_the_edges_cannot_be_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    assert len(view(root, "mask")) == 6
    with pytest.raises(UserError) as raised:
        view(root, "edges")
    (line,) = raised.value.faults
    assert_facts(line, "column edges: ", "scikit-image", "; run `pip install 'mmtoolkit[vision]'`")


def test_the_real_dlib_finds_no_face_where_none_is() -> None:
    pytest.importorskip("dlib")
    assert DetectedLandmarks().points(Image.new("RGB", SIZE), NAMES[0]) is None


# Reading.


def test_a_picture_is_read_once_for_the_requested_views(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Any] = []

    def open_counted(cell: Any) -> Image.Image:
        reads.append(cell)
        return open_picture(cell)

    monkeypatch.setattr(celeba_vision, "open_picture", open_counted)
    monkeypatch.setattr(celeba_vision, "edges", lambda *_: pytest.fail("nobody requested edges"))
    table = CelebAVision(root=root).load("train")
    chunks = list(table.chunks(["mask", "Male", "image", "grey"], 4))
    assert [list(chunk) for chunk in chunks] == [["mask", "Male", "image", "grey"]] * 2
    assert [len(chunk["grey"]) for chunk in chunks] == [4, 2]
    assert sorted(reads) == [root / "img_align_celeba" / NAMES[number - 1] for number in TRAIN]
    reads.clear()
    (chunk,) = table.chunks(["image", "Male"], 6)
    assert chunk["image"] == [root / "img_align_celeba" / NAMES[number - 1] for number in TRAIN]
    assert reads == []  # the modality reads it


def test_rows_keep_their_order_whatever_thread_makes_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celeba_vision, "_BLOCK", 1)
    monkeypatch.setattr(celeba_vision, "MOST_ROWS", 4)
    chunks = list(CelebAVision(root=root).load("train").chunks(["image", "grey"], 4096))
    assert [len(chunk["image"]) for chunk in chunks] == [4, 2]
    images = [cell for chunk in chunks for cell in chunk["image"]]
    greys = [cell for chunk in chunks for cell in chunk["grey"]]
    for number, image, grey in zip(TRAIN, images, greys, strict=True):
        assert np.array_equal(image, np.asarray(picture(root, number)))
        assert np.array_equal(grey, np.asarray(picture(root, number).convert("L")))


def test_an_archive_gives_the_same_views(root: Path) -> None:
    before = {name: view(root, name, "valid") for name in VIEWS[1:]}
    pack(root)
    for name, cells in before.items():
        assert np.array_equal(view(root, name, "valid"), cells)


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_picture_is_a_fault_of_each_view(packed: bool, root: Path, own_cache: Path) -> None:
    path = root / "img_align_celeba" / NAMES[1]
    path.write_bytes(path.read_bytes()[:400])
    place = f"{pack(root)}, member img_align_celeba/{NAMES[1]}" if packed else str(path)
    modalities = {name: ImageModality(shape=(3 if name in COLOURED else 1, 64, 64)) for name in VIEWS}
    with pytest.raises(UserError) as raised:
        prepare(CelebAVision(root=root), modalities)
    assert len(raised.value.faults) == 6
    for name, line in zip(VIEWS, raised.value.faults, strict=True):
        assert line.startswith(f"train row 1, column {name}: ")
        assert place in line
    dataset = prepare(CelebAVision(root=root, on_bad_cell="missing"), modalities)
    present = np.ones((6, 6), dtype=bool)
    present[1] = False
    present[[LOST - 1, UNKNOWN - 1], VIEWS.index("mask")] = False
    assert np.array_equal(dataset.splits["train"].present, present)
    counted = [note for note in dataset.notes if "1 of 6 cells" in note]
    assert len(counted) == 6
    assert all(place in note for note in counted)


def test_a_part_of_the_pictures(root: Path) -> None:
    (root / "img_align_celeba" / NAMES[0]).unlink()
    source = CelebAVision(root=root)
    assert len(source.load("train")) == 5
    assert_facts(source.notes()[0], "11 of the 12 images", "5 train, 3 valid, 3 test")
    assert_facts(source.notes()[1], "2 of 11 faces", "no mask")


def test_full_size_pictures_are_transformed_at_their_size(tmp_path: Path) -> None:
    root = write_release(tmp_path / "large", size=(178, 218))
    write_landmarks(root / "landmarks68.npz")
    (chunk,) = CelebAVision(root=root).load("test").chunks(VIEWS, 10)
    assert {name: cells[0].shape[:2] for name, cells in chunk.items()} == dict.fromkeys(VIEWS, (218, 178))


@pytest.mark.parametrize(("sigma", "fact"), [(0, "greater than 0"), (51, "less than or equal to 50")])
def test_sigma_is_checked(sigma: float, fact: str) -> None:
    with pytest.raises(ValidationError, match=fact):
        CelebAVision(sigma=sigma)
