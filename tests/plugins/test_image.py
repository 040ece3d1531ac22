"""Images: cells of every kind to pixels and back, networks of the paper, likelihoods against explicit sums."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as PILImage
from pydantic import ValidationError
from torch import Tensor, distributions, nn

from facts import assert_facts
from mmt_image import Image
from mmtoolkit import LaplaceLikelihood

GREY = Image(shape=(1, 8, 10))
COLOUR = Image(shape=(3, 8, 10))
DRAW = np.random.default_rng(0)
GREYS = DRAW.integers(0, 256, (8, 10), dtype=np.uint8)
COLOURS = DRAW.integers(0, 256, (8, 10, 3), dtype=np.uint8)


def fault(cell: Any, image: Image = COLOUR) -> str:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        image.parse(cell)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def refused(**options: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        Image(**options)
    (error,) = raised.value.errors()
    return error["msg"].removeprefix("Value error, ")


# Cells of the right size.


@pytest.mark.parametrize(
    "cell",
    [
        GREYS,
        GREYS[None],
        GREYS[:, :, None],
        GREYS.astype(np.int64),
        GREYS / 255,
        (GREYS / 255).astype(np.float32),
        GREYS.tolist(),
        torch.from_numpy(GREYS),
        PILImage.fromarray(GREYS),
        np.stack([GREYS] * 3, axis=2),
        np.asfortranarray(GREYS),
    ],
    ids=["HW", "CHW", "HWC", "int64", "float64", "float32", "list", "tensor", "PIL", "RGB of greys", "Fortran"],
)
def test_grey_cells(cell: Any) -> None:
    stored = GREY.parse(cell)
    assert stored.dtype == torch.uint8
    assert torch.equal(stored, torch.from_numpy(GREYS[None]))


@pytest.mark.parametrize(
    "cell",
    [
        COLOURS,
        COLOURS.transpose(2, 0, 1),
        COLOURS / 255,
        PILImage.fromarray(COLOURS),
        np.concatenate([COLOURS, np.full((8, 10, 1), 255, np.uint8)], axis=2),
    ],
    ids=["HWC", "CHW", "float", "PIL", "opaque RGBA"],
)
def test_colour_cells(cell: Any) -> None:
    assert torch.equal(COLOUR.parse(cell), torch.from_numpy(COLOURS.transpose(2, 0, 1).copy()))


def test_grey_in_colour_and_colour_in_grey() -> None:
    assert torch.equal(COLOUR.parse(GREYS), torch.from_numpy(np.stack([GREYS] * 3)))
    assert torch.equal(GREY.parse(COLOURS)[0], torch.from_numpy(np.array(PILImage.fromarray(COLOURS).convert("L"))))


def test_truths_are_black_and_white() -> None:
    assert torch.equal(GREY.parse(GREYS > 100)[0], torch.from_numpy((GREYS > 100) * np.uint8(255)))


def test_three_rows_of_three_are_read_by_the_shape_that_is_asked() -> None:
    cell = DRAW.integers(0, 256, (3, 3, 3), dtype=np.uint8)
    assert torch.equal(Image(shape=(3, 3, 3), network="mlp").parse(cell), torch.from_numpy(cell))


def test_whole_columns_of_pixels_are_taken_as_they_are() -> None:
    for image, pixels in ((GREY, np.stack([GREYS] * 3)), (COLOUR, np.stack([COLOURS.transpose(2, 0, 1)] * 3))):
        found = image.parse_column(pixels)
        assert found.present.all()
        assert found.stored.shape == (3, *image.shape)
        assert torch.equal(found.stored, torch.stack([image.parse(cell) for cell in pixels]))
        pixels[:] = 0
        assert found.stored.any()  # a copy


def test_columns_of_another_layout_are_read_cell_by_cell() -> None:
    found = COLOUR.parse_column(np.stack([COLOURS] * 2))
    assert torch.equal(found.stored[1], COLOUR.parse(COLOURS))
    mixed = GREY.parse_column([GREYS, None, "/nowhere.png", PILImage.fromarray(GREYS)])
    assert mixed.present.tolist() == [True, False, False, True]
    assert mixed.faults == {
        2: "/nowhere.png: there is no such file; correct the path, or leave the cell empty",
    }


# Pictures of every mode.


def saved(tmp_path: Path, picture: PILImage.Image, name: str = "a.png", **options: Any) -> Path:
    picture.save(tmp_path / name, **options)
    return tmp_path / name


def test_a_path_may_be_text_or_path(tmp_path: Path) -> None:
    path = saved(tmp_path, PILImage.fromarray(COLOURS), "ü a.png")
    assert torch.equal(COLOUR.parse(path), COLOUR.parse(str(path)))
    assert torch.equal(COLOUR.parse(path), COLOUR.parse(COLOURS))


def test_sixteen_bits_keep_their_scale(tmp_path: Path) -> None:
    for top, expected in ((65535, 255), (257 * 100, 100), (200, 1), (0, 0)):
        path = saved(tmp_path, PILImage.fromarray(np.full((8, 10), top, dtype=np.uint16)))
        assert PILImage.open(path).mode == "I;16"
        assert GREY.parse(path).unique().tolist() == [expected]
        assert COLOUR.parse(path).unique().tolist() == [expected]


def test_white_is_what_the_camera_gives(tmp_path: Path) -> None:
    deep = np.zeros((8, 10), dtype=np.uint16)
    deep[:, :3], deep[:, 3:6], deep[:, 9:] = 4095, 2048, 5000
    levels = [0, 128, 255]
    for grey in (GREY.model_copy(update={"white": 4095}), Image(shape=(1, 8, 10), white=4095)):
        assert grey.parse(saved(tmp_path, PILImage.fromarray(deep))).unique().tolist() == levels
        assert grey.parse(PILImage.fromarray(deep)).unique().tolist() == levels
        assert grey.parse(PILImage.fromarray(deep.astype(np.int32))).unique().tolist() == levels
        assert grey.parse(deep).unique().tolist() == levels
        assert grey.parse(deep.astype(np.int64)).unique().tolist() == levels
        assert grey.parse_column([deep, None]).stored[0].unique().tolist() == levels
        assert grey.parse(np.full((8, 10), 200, dtype=np.uint8)).unique().tolist() == [200]
    assert GREY.parse(saved(tmp_path, PILImage.fromarray(deep))).max() == 19  # of 65535


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [("F", 1.0, 255), ("F", 0.5, 128), ("F", 255.0, 255), ("I", 255, 255), ("I", 65535, 255), ("1", 1, 255)],
)
def test_numbers_of_other_widths(mode: str, value: float, expected: int) -> None:
    picture = PILImage.new(mode, (10, 8), 0)
    picture.paste(value, (0, 0, 5, 8))
    assert GREY.parse(picture).unique().tolist() == [0, expected]


def test_numbers_that_are_not_finite() -> None:
    assert fault(PILImage.new("F", (10, 8), math.nan)) == "its numbers are not all finite; mend the picture"


def transparent(mode: str) -> PILImage.Image:
    """The left half is black, the right half transparent."""
    picture = PILImage.new("RGBA", (10, 8), (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (5, 0, 10, 8))
    if mode == "P":
        palette = PILImage.new("P", (10, 8), 0)
        palette.putpalette([0, 0, 0, 200, 0, 0])
        palette.paste(1, (5, 0, 10, 8))
        return palette
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(mode: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"transparency": 1} if mode == "P" else {}
    path = saved(tmp_path, transparent(mode), **options)
    for image in (GREY, COLOUR):
        stored = image.parse(path)
        assert stored[:, :, :5].unique().tolist() == [0]
        assert stored[:, :, 5:].unique().tolist() == [255]


def test_cmyk(tmp_path: Path) -> None:
    red = PILImage.new("RGB", (10, 8), (255, 0, 0)).convert("CMYK")
    stored = COLOUR.parse(saved(tmp_path, red, "a.jpg", quality=100))
    assert stored[0].min() > 240
    assert stored[1:].max() < 15


def test_a_camera_held_upright_is_turned(tmp_path: Path) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise to show
    lying = PILImage.fromarray(GREYS).rotate(90, expand=True)
    path = saved(tmp_path, lying, exif=exif)
    assert torch.equal(GREY.parse(path), GREY.parse(GREYS))
    assert torch.equal(GREY.parse(PILImage.open(path)), GREY.parse(GREYS))


# Other sizes.


def halves(height: int, width: int) -> PILImage.Image:
    """Black above, white below."""
    picture = PILImage.new("L", (width, height))
    picture.paste(255, (0, height // 2, width, height))
    return picture


@pytest.mark.parametrize("resize", ["crop", "stretch"])
@pytest.mark.parametrize("size", [(80, 100), (4, 5), (200, 20), (20, 200), (1, 1), (1, 1000)])
def test_pictures_of_other_sizes_fit(resize: Literal["crop", "stretch"], size: tuple[int, int]) -> None:
    stored = Image(shape=(1, 8, 10), resize=resize).parse(halves(*size))
    assert stored.shape == (1, 8, 10)
    if size[0] > 1:
        assert stored[0, 0].max() < 100
        assert stored[0, -1].min() > 155


def test_crop_keeps_the_middle_and_stretch_keeps_all() -> None:
    picture = PILImage.new("L", (30, 10), 0)
    picture.paste(255, (10, 0, 20, 10))  # the middle third is white
    crop, stretch = (Image(shape=(1, 10, 10), resize=r).parse(picture)[0] for r in ("crop", "stretch"))
    assert crop.min() == 255
    assert stretch[:, 0].max() == 0
    assert stretch[:, 5].min() == 255


def test_another_size_may_be_an_error() -> None:
    strict = Image(shape=(1, 8, 10), resize="error")
    assert fault(halves(10, 8), strict) == (
        "it has 10x8 pixels, not 8x10; set resize to crop or stretch, or change shape"
    )
    assert torch.equal(strict.parse(GREYS), GREY.parse(GREYS))


# Cells that are none.


WRONG_SHAPE = "is no image; give (height, width), (3, height, width) or (height, width, 3)"
BESIDE = "its numbers are not all in [0, 1]; divide by the largest, or give uint8"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (None, f"an array of shape () {WRONG_SHAPE}"),
        (3, f"an array of shape () {WRONG_SHAPE}"),
        ({}, f"an array of shape () {WRONG_SHAPE}"),
        (b"bytes", "is no picture that can be read (cannot identify image file); replace the file"),
        ([], f"an array of shape (0,) {WRONG_SHAPE}"),
        (np.zeros((0, 3)), f"an array of shape (0, 3) {WRONG_SHAPE}"),
        (np.zeros(5), f"an array of shape (5,) {WRONG_SHAPE}"),
        (np.zeros((5, 5, 5)), f"an array of shape (5, 5, 5) {WRONG_SHAPE}"),
        (np.zeros((5, 5, 2)), f"an array of shape (5, 5, 2) {WRONG_SHAPE}"),
        (np.zeros((1, 1, 5, 5)), f"an array of shape (1, 1, 5, 5) {WRONG_SHAPE}"),
        (np.full((5, 5), np.nan), BESIDE),
        (np.full((5, 5), 1.01), BESIDE),
        (np.full((5, 5), -0.1), BESIDE),
        (np.full((5, 5), -1), "its numbers are not all from 0 to 255; scale them, or set white to the largest"),
        (np.full((5, 5), 256), "its numbers are not all from 0 to 255; scale them, or set white to the largest"),
        (np.zeros((5, 5), complex), "an array of complex128 is no image; give uint8, or floats in [0, 1]"),
        (np.zeros((5, 5), object), "an array of object is no image; give uint8, or floats in [0, 1]"),
        (PILImage.new("RGB", (0, 5)), "it has no pixels; replace it"),
    ],
)
def test_cells_that_are_no_image(cell: Any, said: str) -> None:
    assert fault(cell) == said


@pytest.mark.parametrize("cell", [[[1, 2], [3]], torch.zeros(5, 5, requires_grad=True)], ids=["ragged", "gradient"])
def test_cells_that_make_no_array(cell: Any) -> None:
    assert fault(cell).startswith("it is no picture, path or array (")


def broken(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    whole = io.BytesIO()
    PILImage.fromarray(DRAW.integers(0, 256, (50, 50, 3), dtype=np.uint8)).save(whole, "PNG")
    files = {
        "zero bytes": (b"", "cannot identify image file"),
        "text": (b"this is no picture", "cannot identify image file"),
        "cut": (whole.getvalue()[:2000], "image file is truncated"),
        "broken": (
            whole.getvalue()[:60] + b"\xff" * 60 + whole.getvalue()[120:],
            "broken data stream when reading image file",
        ),
    }
    found = {}
    for name, (data, said) in files.items():
        (tmp_path / name).write_bytes(data)
        found[name] = tmp_path / name, said
    return {**found, "a folder": (tmp_path, "[Errno 21] Is a directory")}


@pytest.mark.parametrize("name", ["zero bytes", "text", "cut", "broken", "a folder"])
def test_files_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    path, said = broken(tmp_path)[name]
    text = fault(path)
    assert text.startswith(f"{path}: is no picture that can be read ({said}")
    assert text.endswith("); replace the file")


def test_an_open_picture_that_is_cut_short(tmp_path: Path) -> None:
    path, _ = broken(tmp_path)["cut"]
    with PILImage.open(path) as picture:
        text = fault(picture)
    assert text.startswith("it is no picture that can be read (image file is truncated")
    assert text.endswith("); replace it")


def test_files_that_are_not_there() -> None:
    assert fault("nowhere.png") == "nowhere.png: there is no such file; correct the path, or leave the cell empty"
    assert fault("a\0b").endswith("is no picture that can be read (embedded null byte); replace the file")
    assert_facts(fault("x" * 5000), "is no picture that can be read", "File name too long")


@pytest.mark.parametrize("side", [10_000, 60_000])  # PIL warns of the one and refuses the other
def test_a_bomb_is_not_opened(side: int, tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    for action in ("ignore", "error"):
        with warnings.catch_warnings():
            warnings.simplefilter(action, PILImage.DecompressionBombWarning)
            assert fault(path) == f"{path}: has more pixels than is safe to open; make it smaller"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert list(COLOUR.parse_column([path]).faults) == [0]
    assert not said


# There and back.


@pytest.mark.parametrize("image", [GREY, COLOUR, Image(shape=(1, 8, 10), binarize="static")])
def test_a_cell_goes_there_and_back(image: Image) -> None:
    keys = torch.tensor([5])
    cell = GREYS if image.shape[0] == 1 else COLOURS
    x = image.prepare(image.parse(cell).unsqueeze(0), None, keys)
    again = image.prepare(image.parse(image.cell(x[0])).unsqueeze(0), None, keys)
    assert torch.equal(x, again)
    assert (x.dtype, x.shape) == (torch.float32, (1, *image.shape))
    assert (x >= 0).all()
    assert (x <= 1).all()


def test_every_level_comes_back() -> None:
    image = Image(shape=(1, 16, 16))
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    x = image.prepare(image.parse(levels).unsqueeze(0), None, None)
    assert np.array_equal(np.asarray(image.cell(x[0])), levels)


def test_pixels_are_drawn_with_their_grey_as_probability() -> None:
    image = Image(shape=(1, 20, 20), binarize="static", network="mlp")
    stored = torch.full((200, 1, 20, 20), 51, dtype=torch.uint8)  # 0.2
    for keys in (torch.arange(200), None):
        drawn = image.prepare(stored, torch.Generator().manual_seed(0), keys)
        assert drawn.unique().tolist() == [0, 1]
        assert drawn.mean().item() == pytest.approx(0.2, abs=0.01)
    for level in (0, 255):
        assert image.prepare(stored * 0 + level, None, torch.arange(200)).unique().tolist() == [level // 255]


def test_only_dynamic_binarisation_redraws() -> None:
    assert [Image(shape=(1, 8, 8), binarize=b).redraws for b in ("none", "static", "dynamic")] == [False, False, True]


# Options.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shape": [2, 8, 8]}, "shape has 2 channels; give 1 for grey or 3 for RGB, as [3, 64, 64]"),
        ({"shape": [1, 0, 8]}, "Input should be greater than 0"),
    ],
)
def test_shapes_that_no_image_has(options: dict[str, Any], said: str) -> None:
    assert refused(**options) == said


@pytest.mark.parametrize(
    ("options", "part", "facts"),
    [
        ({"shape": [1, 7, 30]}, "network", ["dcgan", "8 or more", "7x30", "choose another"]),
        ({"network": "lines"}, "network", ["lines", "the kinds are", "dcgan"]),
        ({"likelihood": "categorical"}, "likelihood", ["categorical", "grid", "choose another"]),
        ({"scale": 0.1}, "likelihood", ["Extra inputs"]),
        ({"likelihood": "laplace", "scale": 1e-5}, "likelihood", ["scale is 1e-05", "0.0001 to 10000"]),
        ({"likelihood": {"kind": "gaussian", "scale": 1e5}}, "likelihood", ["scale is 100000", "0.0001 to 10000"]),
        ({"likelihood": {"kind": "gaussian", "scale": [0.1, 0.2]}}, "likelihood", ["2 entries", "there are 1"]),
        ({"likelihood": {"kind": "laplace", "scale": 0.1}, "scale": 0.2}, None, ["scale", "likelihood", "keep"]),
    ],
)
def test_parts_that_do_not_fit(options: dict[str, Any], part: str | None, facts: list[str]) -> None:
    with pytest.raises(ValidationError) as raised:
        Image.model_validate({"shape": [1, 8, 8], **options})
    (error,) = raised.value.errors()
    assert error["loc"][:1] == ((part,) if part else ())
    assert_facts(error["msg"], *facts)


def test_the_scale_of_0_1_is_an_option_of_the_likelihood() -> None:
    image = Image.model_validate({"shape": [1, 8, 8], "likelihood": "laplace", "scale": 0.1})
    assert image == Image(shape=(1, 8, 8), likelihood=LaplaceLikelihood(scale=0.1))
    assert "scale" not in image.model_dump()
    assert image.model_dump()["likelihood"] == {"kind": "laplace", "scale": 0.1}


# Networks.


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("shape", "network", "width", "count"),
    [
        ((1, 28, 28), "mlp", 128, 730_240),
        ((1, 28, 28), "dcgan", 128, 3_409_536),
        ((1, 50, 50), "dcgan", 200, 1_316_936),
        ((3, 64, 64), "dcgan", 200, 4_070_472),
    ],
)
def test_encoders_have_the_paper_s_size(
    shape: tuple[int, int, int], network: Literal["mlp", "dcgan"], width: int, count: int
) -> None:
    image = Image(shape=shape, network=network)
    assert parameters(image.encoder(width)) == count
    assert parameters(image.encoder(width, extra=10)) == count + 5120


def papers_network(shape: tuple[int, int, int], network: str) -> tuple[nn.Module, nn.Module]:
    """Encoder to 12 features and decoder of 5 numbers of Wu & Goodman 2018, section 4, layer by layer."""
    if network == "mlp":
        dense = [nn.Linear(784, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, 12)]
        mirrored = [nn.Linear(5, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU()]
        last = [nn.Linear(512, 784), nn.Unflatten(1, shape)]
        return nn.Sequential(nn.Flatten(), *dense), nn.Sequential(*mirrored, *last)
    there: list[nn.Module] = []
    back: list[nn.Module]
    if shape == (1, 28, 28):  # FashionMNIST
        for before, after in ((1, 64), (64, 128)):
            there += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.SiLU()]
        encoder = [*there, nn.Flatten(), nn.Linear(128 * 49, 512), nn.SiLU(), nn.Linear(512, 12)]
        back = [nn.Linear(5, 512), nn.SiLU(), nn.Linear(512, 128 * 49), nn.SiLU(), nn.Unflatten(1, (128, 7, 7))]
        back += [nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.SiLU()]
        return nn.Sequential(*encoder), nn.Sequential(*back, nn.ConvTranspose2d(64, 1, 4, 2, 1, bias=False))
    for before, after in ((3, 32), (32, 64), (64, 128)):  # CelebA
        there += [nn.Conv2d(before, after, 4, 2, 1, bias=False)]
        there += [nn.BatchNorm2d(after)] if before != 3 else []
        there += [nn.SiLU()]
    there += [nn.Conv2d(128, 256, 4, 1, 0, bias=False), nn.BatchNorm2d(256), nn.SiLU(), nn.Flatten()]
    there += [nn.Linear(256 * 25, 512), nn.SiLU(), nn.Dropout(0.1), nn.Linear(512, 12)]
    back = [nn.Linear(5, 256 * 25), nn.SiLU(), nn.Unflatten(1, (256, 5, 5))]
    for before, after, stride, padding in ((256, 128, 1, 0), (128, 64, 2, 1), (64, 32, 2, 1)):
        back += [nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False), nn.BatchNorm2d(after), nn.SiLU()]
    return nn.Sequential(*there), nn.Sequential(*back, nn.ConvTranspose2d(32, 3, 4, 2, 1, bias=False))


@pytest.mark.parametrize(
    ("shape", "network"), [((1, 28, 28), "mlp"), ((1, 28, 28), "dcgan"), ((3, 64, 64), "dcgan")], ids=str
)
def test_networks_are_the_paper_s_with_the_same_initial_weights(shape: tuple[int, int, int], network: str) -> None:
    torch.manual_seed(3)
    theirs = papers_network(shape, network)
    torch.manual_seed(3)
    image = Image(shape=shape, network=network)
    ours = image.encoder(12), image.decoder(5)
    for mine, other in zip(ours, theirs, strict=True):
        assert all(map(torch.equal, mine.parameters(), other.parameters()))
        assert parameters(mine) == parameters(other)
        mine.eval()
        other.eval()
    x, z = torch.rand(2, *shape), torch.randn(2, 5)
    assert torch.equal(ours[0](x), theirs[0](x))
    expected = -F.binary_cross_entropy_with_logits(theirs[1](z), x, reduction="none").sum((1, 2, 3))
    assert torch.allclose(ours[1](z).log_prob(x), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "network", "count"),
    [((1, 28, 28), "mlp", 401_920), ((1, 28, 28), "dcgan", 3_343_872), ((3, 64, 64), "dcgan", 3_967_872)],
)
def test_branches_are_the_shallow_part_of_the_paper_s_joint_encoders(
    shape: tuple[int, int, int], network: Literal["mlp", "dcgan"], count: int
) -> None:
    branch = Image(shape=shape, network=network).branch(512)
    assert parameters(branch) == count
    assert branch(torch.rand(3, *shape)).shape == (3, 512)


def test_a_conditional_network_is_told_the_pixels() -> None:
    x = torch.rand(2, 3, 8, 10)
    assert COLOUR.condition_size == 240
    assert torch.equal(COLOUR.condition(x), x.flatten(1))


SHAPES = [(1, 28, 28), (1, 50, 50), (3, 64, 64), (3, 33, 47), (1, 8, 8), (3, 128, 128), (1, 9, 31), (3, 35, 80)]


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "dcgan", "conv", "resnet"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_networks_of_any_size(shape: tuple[int, int, int], network: str) -> None:
    image = Image(shape=shape, network={"kind": network, "width": 16})
    encoder, decoder = image.encoder(6, extra=2).eval(), image.decoder(5).eval()
    for rows in (1, 3):
        x = torch.rand(rows, *shape)
        assert encoder(x, torch.randn(rows, 2)).shape == (rows, 6)
        p = decoder(torch.randn(rows, 5))
        assert (p.batch_shape, p.event_shape) == ((rows,), shape)
        assert p.log_prob(x).shape == (rows,)


def test_a_tiny_picture_may_have_an_mlp() -> None:
    image = Image(shape=(3, 1, 2), network="mlp")
    assert image.decoder(4)(image.encoder(4)(torch.rand(2, 3, 1, 2))).event_shape == (3, 1, 2)


def test_a_row_s_features_do_not_depend_on_the_others() -> None:
    encoder = Image(shape=(3, 64, 64)).encoder(6).eval()
    x = torch.rand(4, 3, 64, 64)
    assert torch.allclose(encoder(x)[2], encoder(x[2:3])[0], atol=1e-6)


Fit = Callable[[Tensor, Tensor, Tensor], Tensor]
LIKELIHOODS: dict[str, Fit] = {
    "bernoulli": lambda f, x, _: x * torch.sigmoid(f).log() + (1 - x) * torch.sigmoid(-f).log(),
    "gaussian": lambda f, x, s: -((x - torch.sigmoid(f)) ** 2) / (2 * s**2) - s.log() - math.log(2 * math.pi) / 2,
    "laplace": lambda f, x, s: -(x - torch.sigmoid(f)).abs() / s - (2 * s).log(),
}


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_log_prob_is_an_explicit_sum_over_pixels(likelihood: Any, scale: float | None) -> None:
    options = {} if likelihood == "bernoulli" else {"scale": scale}
    image = Image(shape=(3, 8, 9), likelihood={"kind": likelihood, **options})
    decoder: Any = image.decoder(4).double()
    z, x = torch.randn(5, 4, dtype=torch.float64), torch.rand(5, 3, 8, 9, dtype=torch.float64)
    spread = torch.full((3, 1, 1), scale or 0.0, dtype=torch.float64)
    if scale is None and likelihood != "bernoulli":
        with torch.no_grad():
            decoder.network.head.raw_scale.copy_(torch.tensor([-1.0, 0.0, 2.0]).reshape(3, 1, 1))
        spread = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64).reshape(3, 1, 1).exp().add(1).log() + 0.01
    expected = LIKELIHOODS[likelihood](decoder.network.raw(z).squeeze(1), x, spread).sum((1, 2, 3))
    assert torch.allclose(decoder(z).log_prob(x), expected, rtol=1e-9)


@pytest.mark.parametrize("scale", [None, 1e-4, 1e4])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_log_prob_and_point_are_finite_however_sure(likelihood: Any, scale: float | None) -> None:
    options = {} if likelihood == "bernoulli" else {"scale": scale}
    image = Image(shape=(1, 8, 8), likelihood={"kind": likelihood, **options})
    head: Any = image.likelihood.head(image.form())
    for logit in (-1e4, 0.0, 1e4):
        for kind in (torch.float32, torch.bfloat16):
            p = image.joined(head(torch.full((2, 1, 1, 8, 8), logit, dtype=kind)))
            for x in (torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)):
                assert p.log_prob(x).isfinite().all()
                assert p.log_prob(x).dtype == torch.float32
            assert image.point(p).isfinite().all()


@pytest.mark.parametrize(
    ("shape", "network", "likelihood"),
    [
        ((1, 28, 28), "mlp", "bernoulli"),
        ((1, 28, 28), "dcgan", "gaussian"),
        ((3, 64, 64), "dcgan", "laplace"),
        ((3, 33, 47), "dcgan", "gaussian"),
        ((3, 33, 47), {"kind": "conv", "channels": 4}, "bernoulli"),
        ((1, 9, 31), {"kind": "resnet", "width": 4, "blocks": 1}, "laplace"),
    ],
)
def test_every_parameter_gets_a_gradient(shape: tuple[int, int, int], network: Any, likelihood: Any) -> None:
    image = Image(shape=shape, network=network, likelihood=likelihood)
    encoder, decoder = image.encoder(10, extra=2), image.decoder(5)
    x = torch.rand(4, *shape)
    decoder(encoder(x, torch.randn(4, 2)).chunk(2, dim=1)[0]).log_prob(x).sum().backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name


# Showing and scoring.


def test_point_baseline_and_scores() -> None:
    image = Image(shape=(1, 1, 2), network="mlp")
    pixels = distributions.Independent(distributions.Normal(torch.tensor([[[[-1.0, 0.5]]]]), 1.0), 3)
    assert image.point(pixels).tolist() == [[[[0.0, 0.5]]]]
    x = torch.tensor([[[[0.0, 1.0]]], [[[1.0, 1.0]]]])
    assert image.baseline(iter([x[:1], x[1:]])).tolist() == [[[0.5, 1.0]]]
    assert image.scores(image.baseline(iter([x])).expand(2, 1, 1, 2), x)["squared_error"].tolist() == [0.125, 0.125]


def test_text_and_drawing() -> None:
    from matplotlib.figure import Figure

    assert GREY.text(torch.full((1, 8, 10), 0.25)) == "grey 8x10, mean 0.25"
    assert COLOUR.text(torch.ones(3, 8, 10)) == "RGB 8x10, mean 1.00"
    for image in (GREY, COLOUR):
        axes = Figure().subplots()
        image.draw(torch.rand(image.shape), axes)
        pixels = axes.images[0].get_array()
        assert pixels is not None
        assert pixels.shape[:2] == (8, 10)


def test_pictures_read_in_parallel_leave_warnings_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in (4, 40):
        PILImage.new("L", (side, side)).save(tmp_path / f"{side}.png")
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 1000)
    cells = [tmp_path / ("40.png" if row % 7 == 0 else "4.png") for row in range(200)]
    before, threads = list(warnings.filters), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        parsed = Image(shape=(1, 4, 4), network="mlp").parse_column(cells)
    finally:
        torch.set_num_threads(threads)
    assert list(parsed.faults) == list(range(0, 200, 7))
    assert all("more pixels than is safe" in found for found in parsed.faults.values())
    assert warnings.filters == before
