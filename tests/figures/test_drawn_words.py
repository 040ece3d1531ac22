import io
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from mmtoolkit.figures.curves import learning_curves
from mmtoolkit.figures.latent import latent_space
from mmtoolkit.figures.words import Words, write

TEXTS = ("number_1 -13.46,\nAbgjpqy", "one line", "β µ €", "first\n\nthird")


def ink(figure: Figure) -> NDArray[np.float64]:
    """How dark each pixel is."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba(), dtype=np.float64)
    dark: NDArray[np.float64] = 255 - pixels[..., :3].mean(2)
    return dark


def place(dark: NDArray[np.float64]) -> tuple[float, float]:
    """The centre of the ink, in pixels."""
    rows, columns = np.indices(dark.shape)
    return float((rows * dark).sum() / dark.sum()), float((columns * dark).sum() / dark.sum())


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("across", "above"), [("left", "top"), ("center", "center"), ("right", "bottom")])
def test_words_look_as_matplotlib_draws_them(text: str, across: str, above: str) -> None:
    plain, quick = Figure(figsize=(2, 1), dpi=130), Figure(figsize=(2, 1), dpi=130)
    style: dict[str, Any] = {"fontsize": 7.5, "color": "#1c2330", "ha": across, "va": above}
    plain.text(0.5, 0.5, text, linespacing=1.25, parse_math=False, **style)
    write(quick, 0.5, 0.5, text, 7.5, "#1c2330", across, above)
    assert [written.get_text() for written in quick.texts] == [text]
    expected, drawn = ink(plain), ink(quick)
    assert drawn.sum() == pytest.approx(expected.sum(), rel=0.02)
    assert drawn.max() == pytest.approx(expected.max(), abs=8)
    # Matplotlib centres each line by its own letters, so that one without descenders lies lower.
    assert place(drawn) == pytest.approx(place(expected), abs=2.5)


def test_words_stay_in_place_at_another_resolution() -> None:
    quick = Figure(figsize=(2, 1), dpi=130)
    write(quick, 0.25, 0.25, "ab\nc", 7.5, "#1c2330", "left", "bottom")
    file = io.BytesIO()
    quick.savefig(file, dpi=260)
    with Image.open(file) as picture:
        large = 255 - np.asarray(picture.convert("L"), dtype=np.float64)
    assert large.shape == (260, 520)
    small = ink(quick)
    assert np.divide(place(large), 2) == pytest.approx(place(small), abs=1)
    assert large.sum() / 4 == pytest.approx(small.sum(), rel=0.1)


def test_letters_have_no_dark_edges() -> None:
    figure = Figure(figsize=(1, 1), dpi=130)
    write(figure, 0.5, 0.5, "words", 7.5, "#ff8000", "center", "center")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    red, green, blue = np.moveaxis(np.asarray(canvas.buffer_rgba())[..., :3], 2, 0).astype(int)
    assert red.min() == 255  # on white, each edge lies between white and the colour
    assert blue.min() < 32
    assert np.abs((255 - green) * 255 - (255 - blue) * 127).max() <= 2 * 255


def test_words_lie_above_what_is_below_them() -> None:
    figure = Figure(figsize=(1, 1), dpi=130)
    write(figure, 0.5, 0.5, "words", 7.5, "black", "center", "center")
    figure.add_artist(Rectangle((0, 0), 1, 1, facecolor="yellow"))
    assert (ink(figure) > 200).any()


@pytest.mark.parametrize(("text", "ending"), [("漢字", "png"), ("word", "svg"), ("word", "pdf")])
def test_matplotlib_draws_what_the_font_lacks_and_vectors(
    text: str, ending: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(Text, "draw", lambda self, renderer: drawn.append(self.get_text()))
    figure = Figure(figsize=(1, 1))
    write(figure, 0.5, 0.5, text, 7.5, "black", "center", "center")
    figure.savefig(io.BytesIO(), format=ending)
    assert drawn == [text]


def test_words_are_no_mathematics() -> None:
    figure = Figure(figsize=(1, 1))
    write(figure, 0.5, 0.5, "$5", 7.5, "black", "center", "center")
    assert isinstance(figure.texts[0], Words)
    assert not figure.texts[0].get_parse_math()


@pytest.mark.slow
def test_panels_stand_apart_without_a_layout_that_measures_texts() -> None:
    terms = {f"log p(x{k})": -1.0 for k in range(20)}
    history = [{"epoch": k, "loss": 1.0 / k, "validation": -k, "beta": 1.0, "terms": terms} for k in (1, 2, 3)]
    shades = {f"c{k}": [float(row) for row in range(40)] for k in range(4)} | {"kind": ["a", "b"] * 20}
    means = np.random.default_rng(0).normal(size=(40, 3)).tolist()
    latent = latent_space({"split": "test", "rows": list(range(40)), "means": means, "shades": shades})
    for figure in (learning_curves(history), latent):
        assert figure.get_layout_engine() is None
        boxes = [axes.get_position() for axes in figure.axes]
        assert all(box.x0 > 0 and box.y0 > 0 and box.x1 < 1 and box.y1 < 1 for box in boxes)
        assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        for axes in figure.axes:
            extent = axes.get_tightbbox(canvas.get_renderer())
            assert extent is not None
            assert extent.x0 >= 0
            assert extent.y0 >= 0
            assert extent.x1 <= figure.bbox.x1
