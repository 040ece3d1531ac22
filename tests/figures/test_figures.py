"""Figures of runs: which rows and modalities stand where, the model's predictions, and how words fit."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image as PILImage
from torch import Tensor

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Numeric
from mmt_image import Image
from mmtoolkit import TrainedRun
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.core.batch import Batch
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.data.split import Split
from mmtoolkit.figures import direction, rows_with, samples
from mmtoolkit.figures.lines import Line, cell_text, draw_lines, groups, title_of
from mmtoolkit.runs.pictures import samples_given
from runs import SMALL, Ended, mmt
from toys import Category
from untrained import untrained

TINY = [*SMALL, "data.rows={train: 60, valid: 20, test: 30}", "train.epochs=1", "train.batch_size=30"]
THREE = """\
name: three
data: {kind: fashion_mini, rows: {train: 60, valid: 20, test: 30}}
modalities:
  image: {kind: image, shape: [1, 28, 28], network: mlp}
  small: {kind: image, shape: [1, 14, 14], network: mlp, column: image}
  label: {kind: label}
model: {kind: mvae, latent_dim: 3, subsets: {k: 1}}
train: {epochs: 1, batch_size: 30, warmup_epochs: 1}
evaluate: [{kind: elbo}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two pictures and a label."""
    folder = tmp_path_factory.mktemp("three")
    (folder / "three.yaml").write_text(THREE)
    ended = mmt("run", folder / "three.yaml", "--no-figures", "--out", folder / "run")
    assert ended.status == 0, ended.err
    return folder / "run"


@pytest.fixture(scope="module")
def run(folder: Path) -> TrainedRun:
    return mmtoolkit.load(folder)


def holed(run: TrainedRun, holes: Mapping[str, list[int]]) -> TrainedRun:
    """The same run, some cells of its test rows missing."""
    test = run.dataset.split("test")
    present = test.present.clone()
    for name, rows in holes.items():
        present[rows, list(run.modalities).index(name)] = False
    splits = {**run.dataset.splits, "test": Split("test", test.modalities, test.stored, present)}
    dataset = Dataset(run.dataset.source, run.dataset.units, splits)
    return TrainedRun(run.folder, run.schema, run.model, run.device, run.baselines, run.plugins, prepared=dataset)


def titles(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.texts if text.get_horizontalalignment() == "right"]


def words(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.texts if text.get_horizontalalignment() == "center"]


def pixels(axes: Axes) -> Tensor:
    """The grey picture on a panel: (1, height, width)."""
    (image,) = axes.images
    return torch.from_numpy(np.asarray(image.get_array()))[None]


def lines_of(figure: Figure) -> list[list[Axes]]:
    """The panels, line by line from above."""
    lines: dict[float, list[Axes]] = {}
    for axes in figure.axes:
        lines.setdefault(round(axes.get_position().y0, 5), []).append(axes)
    return [sorted(lines[y], key=lambda axes: axes.get_position().x0) for y in sorted(lines, reverse=True)]


def assert_shows(panels: list[Axes], values: Tensor) -> None:
    assert len(panels) == len(values)
    for axes, value in zip(panels, values, strict=True):
        torch.testing.assert_close(pixels(axes), value)


def pictures_of(run: TrainedRun, batch: Batch, z: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name: p.mean for name, p in run.model.decode(z, batch, ["image", "small"]).items()}


# Directions.


@pytest.mark.slow
def test_a_row_of_inputs_stands_over_rows_of_outputs(run: TrainedRun) -> None:
    rows = torch.tensor([3, 4, 9, 20])
    figure = direction(run, "test", ["small"], rows)
    assert titles(figure) == ["given small", "reconstructed", "image", "data", "label", "data"]
    batch = run.dataset.split("test").batch(rows, run.device)
    with torch.no_grad():
        z = run.model.infer(batch, ["small"]).mean
        label = run.modalities["label"]
        predicted = label.point(run.model.decode(z, batch, ["label"])["label"])
    predictions = pictures_of(run, batch, z)
    given, reconstructed, image, data = lines_of(figure)
    assert_shows(given, batch.value("small"))
    assert_shows(reconstructed, predictions["small"])
    assert_shows(image, predictions["image"])
    assert_shows(data, batch.value("image"))
    assert words(figure) == [label.text(value) for value in (*predicted, *batch.value("label"))]


@pytest.mark.slow
def test_a_label_is_written_over_the_pictures_that_it_gives(run: TrainedRun) -> None:
    rows = torch.tensor([0, 1])
    figure = direction(run, "test", ["label"], rows)
    assert titles(figure) == ["given label", "reconstructed", "image", "data", "small", "data"]
    batch = run.dataset.split("test").batch(rows, run.device)
    with torch.no_grad():
        predictions = pictures_of(run, batch, run.model.infer(batch, ["label"]).mean)
    image, data, small, small_data = lines_of(figure)
    assert_shows(image, predictions["image"])
    assert_shows(data, batch.value("image"))
    assert_shows(small, predictions["small"])
    assert_shows(small_data, batch.value("small"))
    label = run.modalities["label"]
    assert words(figure)[:2] == [label.text(value) for value in batch.value("label")]


@pytest.mark.slow
def test_each_of_several_given_stands_over_its_reconstruction(run: TrainedRun) -> None:
    rows = torch.tensor([5, 6, 7])
    figure = direction(run, "test", ["image", "label"], rows)
    assert titles(figure) == ["given image", "reconstructed", "given label", "reconstructed", "small", "data"]
    batch = run.dataset.split("test").batch(rows, run.device)
    with torch.no_grad():
        predictions = pictures_of(run, batch, run.model.infer(batch, ["image", "label"]).mean)
    given, reconstructed, small, data = lines_of(figure)
    assert_shows(given, batch.value("image"))
    assert_shows(reconstructed, predictions["image"])
    assert_shows(small, predictions["small"])
    assert_shows(data, batch.value("small"))


def test_draws_are_of_the_posterior_and_the_same_in_every_modality(run: TrainedRun) -> None:
    rows = torch.tensor([0, 1, 2])
    figure = direction(run, "test", ["image"], rows, draws=2, seed=4)
    block = ["draw 1", "draw 2"]
    assert titles(figure) == [
        *("given image", "reconstructed", *block),
        *("small", *block, "data"),
        *("label", *block, "data"),
    ]
    again, other = (direction(run, "test", ["image"], rows, draws=2, seed=seed) for seed in (4, 5))
    panels = lines_of(figure)
    for line, (first, same, fresh) in enumerate(zip(panels, lines_of(again), lines_of(other), strict=True)):
        is_draw = line in (2, 3, 5, 6)
        for one, two, three in zip(first, same, fresh, strict=True):
            assert torch.equal(pixels(one), pixels(two))
            assert torch.equal(pixels(one), pixels(three)) != is_draw
    assert not torch.equal(pixels(panels[2][0]), pixels(panels[3][0]))
    # One draw of z, in both modalities.
    batch = run.dataset.split("test").batch(rows, run.device)
    with torch.no_grad():
        q = run.model.infer(batch, ["image"])
        generator = torch.Generator().manual_seed(seed_for("direction", 4))
        z = q.rsample(torch.randn(2, 3, 3, generator=generator))
    for draw in range(2):
        predictions = pictures_of(run, batch, z[draw])
        assert_shows(panels[2 + draw], predictions["image"])
        assert_shows(panels[5 + draw], predictions["small"])


def test_missing_cells_are_shown_as_missing_and_used_last(run: TrainedRun) -> None:
    few = holed(run, {"small": [0, 2], "label": [1], "image": [4]})
    assert rows_with(few, "test", ["image"], 4).tolist() == [0, 1, 2, 3]
    assert rows_with(few, "test", ["small"], 3).tolist() == [1, 3, 4]
    assert rows_with(few, "test", ["image", "small"], 3).tolist() == [1, 3, 5]
    assert rows_with(few, "test", ["image", "small"], 30).tolist() == list(range(30))  # a part where no more have all
    figure = direction(few, "test", ["image"], torch.tensor([0, 1, 2, 3]))
    assert [len(line) for line in lines_of(figure)] == [4, 4, 4, 2]
    test = few.dataset.split("test").batch(torch.tensor([1, 3]), run.device)
    assert_shows(lines_of(figure)[3], test.value("small"))
    assert words(figure).count("missing") == 3
    assert words(figure)[-4:][1] == "missing"


def test_no_row_without_the_given_is_shown(run: TrainedRun) -> None:
    gone = holed(run, {"small": list(range(30))})
    assert rows_with(gone, "test", ["small"], 5).tolist() == []
    assert rows_with(gone, "test", ["small", "image"], 2).tolist() == [0, 1]
    some = holed(run, {"small": list(range(28)), "image": list(range(25))})
    assert rows_with(some, "test", ["small", "image"], 9).tolist() == [25, 26, 27, 28, 29]


def test_rows_of_few_values_have_different_ones(run: TrainedRun) -> None:
    labels = torch.cat(list(run.dataset.split("test").values("label"))).tolist()
    firsts = sorted({label: row for row, label in reversed(list(enumerate(labels)))}.values())
    n = len(firsts)
    assert rows_with(run, "test", ["label"], n).tolist() == firsts
    assert rows_with(run, "test", ["label"], n - 2).tolist() == firsts[: n - 2]
    assert set(firsts) < set(rows_with(run, "test", ["label"], n + 3).tolist())
    assert rows_with(run, "test", ["image"], 5).tolist() == [0, 1, 2, 3, 4]


# Samples.


def test_one_picture_makes_a_square_with_captions(run: TrainedRun) -> None:
    values = run.sample(9)
    values = {name: values[name] for name in ("image", "label")}
    figure = samples(run.modalities, values)
    assert titles(figure) == []
    assert [len(line) for line in lines_of(figure)] == [3, 3, 3]
    assert_shows([axes for line in lines_of(figure) for axes in line], values["image"])
    assert words(figure) == [run.modalities["label"].text(value) for value in values["label"]]


def test_several_pictures_make_lines_with_titles(run: TrainedRun) -> None:
    values = run.sample(12)
    figure = samples(run.modalities, values)
    assert titles(figure) == ["image", "small", "label"] * 2
    assert [len(line) for line in lines_of(figure)] == [10, 10, 2, 2]
    assert_shows(lines_of(figure)[3], values["small"][10:])


def test_words_alone_make_lines_too(run: TrainedRun) -> None:
    values = {"label": run.sample(3)["label"]}
    figure = samples(run.modalities, values)
    assert titles(figure) == ["label"]
    assert words(figure) == [run.modalities["label"].text(value) for value in values["label"]]
    assert not figure.axes


def test_samples_given_values_are_those_of_the_run(run: TrainedRun) -> None:
    label = run.modalities["label"]
    figure = samples_given(run, "label", [torch.tensor(2), torch.tensor(0)], n=4)
    assert titles(figure) == [label.text(torch.tensor(2)), label.text(torch.tensor(0))]
    for seed, (line, value) in enumerate(zip(lines_of(figure), (2, 0), strict=True)):
        assert_shows(line, run.sample(4, {"label": label.cell(torch.tensor(value))}, seed=seed)["image"])


# Words.


class Answer(Category):
    """Yes or no; in a list of words it is its name, or nothing."""

    def text(self, value: Tensor) -> str:
        return ("no", "yes")[int(value)]

    def named(self, name: str, value: Tensor) -> str:
        return name if value else ""


NAMES = [f"Quite_Long_{k}" for k in range(19)]
ANSWERS = {name: Answer() for name in NAMES}


def test_many_words_share_a_line_beside_pictures() -> None:
    pictured = {"face": Image(shape=(1, 8, 8)), **ANSWERS}
    assert groups(pictured, NAMES[:6]) == [(name,) for name in NAMES[:6]]
    assert groups(pictured, NAMES) == [tuple(NAMES)]
    assert groups(pictured, ["face", *NAMES]) == [("face",), tuple(NAMES)]
    assert groups(ANSWERS, NAMES) == [(name,) for name in NAMES]
    assert groups(ANSWERS, NAMES[:2], together=True) == [tuple(NAMES[:2])]
    assert groups(ANSWERS, []) == groups(ANSWERS, [], together=True) == []
    assert title_of(NAMES[:1]) == "Quite_Long_0"
    assert title_of(NAMES[:2]) == "Quite_Long_0, Quite_Long_1"
    assert title_of(NAMES) == "Quite_Long_0, Quite_Long_1, … (19)"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ({"Quite_Long_1": 1}, "yes"),
        ({"Quite_Long_1": None}, "missing"),
        ({"Quite_Long_1": 1, "Quite_Long_2": 0, "Quite_Long_3": 1}, "Quite_Long_1, Quite_Long_3"),
        ({"Quite_Long_1": 0, "Quite_Long_2": 0}, "–"),
        ({"Quite_Long_1": 1, "Quite_Long_2": None}, "Quite_Long_1; 1 missing"),
        ({"Quite_Long_1": None, "Quite_Long_2": None}, "missing"),
    ],
)
def test_cells_in_words(cell: dict[str, int | None], text: str) -> None:
    assert cell_text(ANSWERS, {n: None if v is None else torch.tensor(v) for n, v in cell.items()}) == text


@pytest.mark.parametrize("on", [1, 3, 19])
def test_words_stay_in_their_cell(on: int) -> None:
    cell = {name: torch.tensor(int(k < on)) for k, name in enumerate(NAMES)}
    below = {name: torch.tensor(1) for name in NAMES[:1]}
    figure = draw_lines(ANSWERS, [Line([cell] * 3, "all of the many questions"), Line([below] * 3, "one")])
    figure.canvas.draw()
    centred = [text for text in figure.texts if text.get_horizontalalignment() == "center"]
    *first, second = (centred[k].get_window_extent() for k in (0, 1, 2, 3))
    whole = figure.bbox
    for box in first:
        assert 0 <= box.x0 < box.x1 <= whole.x1
        assert second.y1 < box.y0 < box.y1 <= whole.y1
    assert first[0].x1 <= first[1].x0
    assert first[1].x1 <= first[2].x0
    text = words(figure)[0]
    names = textwrap.shorten(", ".join(NAMES[:on]), 200).replace(" ", "")
    assert names.startswith(text.replace(" ", "").rstrip("…").rstrip(","))
    assert ("…" in text) == (on == 19)


# The command.


def assert_refused(ended: Ended, *facts: str) -> None:
    """Status 2 and one line with these facts."""
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert_facts(line, *facts)


@pytest.mark.slow
def test_the_command_draws_what_rows_tell(folder: Path, run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "new" / "from.png"
    ended = mmt("sample", folder, "--given", "label", "--given", "image", "-n", "3", "--draws", "1", "--out", out)
    assert ended.status == 0, ended.err
    assert ended.out == f"{out}\n"
    given = ["image", "label"]
    figure = direction(run, "test", given, rows_with(run, "test", given, 3), draws=1)
    figure.savefig(tmp_path / "same.png")
    with PILImage.open(out) as picture, PILImage.open(tmp_path / "same.png") as same:
        assert picture.tobytes() == same.tobytes()
    ended = mmt("sample", folder, "--given", "image", "-n", "3", "--split", "valid")
    assert ended.status == 0, ended.err
    first = folder / "samples" / "1.png"
    assert ended.out == f"{first}\n"
    direction(run, "valid", ["image"], torch.arange(3)).savefig(tmp_path / "valid.png")
    with PILImage.open(first) as picture, PILImage.open(tmp_path / "valid.png") as same:
        assert picture.tobytes() == same.tobytes()


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (["--given", "imag"], ("--given imag: ", "no modality 'imag'", "image, small, label")),
        (["--given", "image", "--given", "label=Bag"], ("--given image, --given label=Bag: ", "a value, or none")),
        (["--given", "image", "--split", "tets"], ("no split 'tets'", "'test'", "train, valid, test")),
        (["--given", "label=Bag", "--split", "valid"], ("--split: ", "--given NAME", "; add")),
        (["--draws", "2"], ("--draws: ", "--given NAME", "; add")),
        (["--given", "image", "--out", "x.csv"], ("x.csv: ", "; give", ".png", "--given NAME=VALUE")),
        (["--given", "image", "-n", "101"], ("-n 101: ", "column", "100", "; take fewer")),
    ],
)
def test_the_command_refuses_what_it_cannot_draw(
    options: list[str], facts: tuple[str, ...], folder: Path, run: TrainedRun
) -> None:
    assert len(run.present["test"]) == 30  # this prepares the data, so that the command has nothing to say of it
    assert_refused(mmt("sample", folder, *options), *facts)


def test_a_split_without_the_given_is_an_error(tmp_path: Path, run: TrainedRun) -> None:
    from mmtoolkit.using.sampling import write_direction

    gone = holed(run, {"small": list(range(30))})
    with pytest.raises(mmtoolkit.UserError) as raised:
        write_direction(gone, ["small"], tmp_path / "x.png", "test", 5)
    assert_facts(str(raised.value), "--given small: ", "'test'", "--split")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A run of image and label of each kind of model, without its pictures."""
    folders: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp("kinds") / kind
            changes = [*TINY, f"model.kind={kind}", "evaluate=[{kind: elbo, unsupported: leave_out}]"]
            mmtoolkit.run(mmtoolkit.read_schema("fashion_mini", changes), folders[kind], figures=False)
        return folders[kind]

    return of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("vae", ["image"], ["given image", "reconstructed"]),
        ("cvae", ["label"], ["given label", "image", "data"]),
        ("cvae", ["image", "label"], ["given image", "reconstructed", "given label"]),
        ("bivcca", ["image"], ["given image", "reconstructed", "label", "data"]),
        ("bivcca", ["label"], ["given label", "reconstructed", "image", "data"]),
        ("jmvae", ["image", "label"], ["given image", "reconstructed", "given label", "reconstructed"]),
    ],
)
def test_models_show_the_directions_that_they_have(
    kind: str, given: list[str], expected: list[str], small: Callable[[str], Path]
) -> None:
    loaded = mmtoolkit.load(small(kind))
    rows = rows_with(loaded, "test", given, 3)
    assert titles(direction(loaded, "test", given, rows)) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "given", "facts"),
    [
        ("vae", ["label"], ("cannot infer z from label;", "image")),
        ("bivcca", ["image", "label"], ("cannot infer z from image, label;", "image; label")),
        ("cvae", ["image"], ("--given image: ", "given label only; ", "with --given")),
    ],
)
def test_directions_that_a_model_lacks_are_refused(
    kind: str, given: list[str], facts: tuple[str, ...], small: Callable[[str], Path], tmp_path: Path
) -> None:
    words = [word for name in given for word in ("--given", name)]
    assert_refused(mmt("sample", small(kind), *words, "--out", tmp_path / "x.png"), *facts)
    assert not (tmp_path / "x.png").exists()


# The report.


@pytest.mark.slow
def test_the_report_has_the_figures_in_order_with_what_to_look_for(folder: Path, tmp_path: Path) -> None:
    assert mmt("run", folder.parent / "three.yaml", "--out", tmp_path / "run").status == 0
    html = (tmp_path / "run" / "report.html").read_text()
    headings = [
        *("Learning curves", "Samples from the prior", "Samples given label", "Everything from everything"),
        *("Everything from image", "Everything from small", "Everything from label"),
        *("What each modality tells", "The latent space"),
    ]
    places = [html.index(f"<h2>{heading}</h2>") for heading in headings]
    assert places == sorted(places)
    assert html.count("data:image/webp;base64,") == len(headings) + 1  # rows of the data stand with the data
    assert "q(z | small alone)" in html


def test_rows_whose_values_lack_a_part_come_last(own_cache: Path, tmp_path: Path) -> None:
    """Row 0 knows a part of its value, and row 2 has none."""
    columns = {"a": [None, 1.0, None, 2.0], "b": [5.0, 2.0, None, 4.0]}
    run = untrained({"pair": Numeric(columns=("a", "b"))}, tmp_path, train=columns)
    assert [rows_with(run, "train", ["pair"], n).tolist() for n in (1, 2, 3)] == [[1], [1, 3], [0, 1, 3]]
