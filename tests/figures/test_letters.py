import io
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from mmtoolkit.figures import letters
from mmtoolkit.figures.curves import learning_curves
from mmtoolkit.figures.latent import latent_space
from mmtoolkit.figures.letters import Letters, write

TEXTS = ("number_1 -13.46,\nAbgjpqy", "one line", "β µ €", "first\n\nthird")


def ink(figure: Figure) -> NDArray[np.float64]:
    """How dark each pixel is."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba(), dtype=np.float64)  # type: ignore[no-untyped-call]
    dark: NDArray[np.float64] = 255 - pixels[..., :3].mean(2)
    return dark


def place(dark: NDArray[np.float64]) -> tuple[float, float]:
    """The centre of the ink, in pixels."""
    rows, columns = np.indices(dark.shape)
    return float((rows * dark).sum() / dark.sum()), float((columns * dark).sum() / dark.sum())


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("across", "above"), [("left", "top"), ("center", "center"), ("right", "bottom")])
def test_letters_look_as_matplotlib_draws_them(text: str, across: str, above: str) -> None:
    style: dict[str, Any] = {"ha": across, "va": above, "fontsize": 7.5, "color": "#1c2330"}
    plain, quick = Figure(figsize=(2, 1), dpi=130), Figure(figsize=(2, 1), dpi=130)
    plain.text(0.5, 0.5, text, linespacing=1.25, parse_math=False, **style)
    write(quick, 0.5, 0.5, text, **style)
    assert [written.get_text() for written in quick.texts] == [text]
    expected, drawn = ink(plain), ink(quick)
    assert drawn.sum() == pytest.approx(expected.sum(), rel=0.02)
    assert drawn.max() == pytest.approx(expected.max(), abs=8)
    assert place(drawn) == pytest.approx(place(expected), abs=2)


def test_each_letter_of_a_size_is_rendered_once() -> None:
    letters._letter.cache_clear()
    figure = Figure(figsize=(4, 4))
    for row in range(50):
        write(figure, 0.5, row / 50, f"{row} abba", ha="center", va="top", fontsize=6.125)
    ink(figure)
    assert letters._letter.cache_info().misses == len(set("0123456789 ab"))


@pytest.mark.parametrize(("text", "ending"), [("漢字", "png"), ("word", "svg"), ("word", "pdf")])
def test_matplotlib_draws_what_the_font_lacks_and_vectors(
    text: str, ending: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(Text, "draw", lambda self, renderer: drawn.append(self.get_text()))
    figure = Figure(figsize=(1, 1))
    write(figure, 0.5, 0.5, text, ha="center", va="center")
    figure.savefig(io.BytesIO(), format=ending)
    assert drawn == [text]


def test_letters_are_no_mathematics() -> None:
    figure = Figure(figsize=(1, 1))
    write(figure, 0.5, 0.5, "$5", ha="center", va="center")
    assert isinstance(figure.texts[0], Letters)
    assert not figure.texts[0].get_parse_math()


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
        canvas.draw()  # type: ignore[no-untyped-call]
        for axes in figure.axes:
            extent = axes.get_tightbbox(canvas.get_renderer())  # type: ignore[no-untyped-call]
            assert extent is not None
            assert extent.x0 >= 0
            assert extent.y0 >= 0
            assert extent.x1 <= figure.bbox.x1
