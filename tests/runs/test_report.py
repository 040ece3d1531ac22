"""The report: the data and its missing cells, the scores by target and given, the latent space in colours."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Attributes, Label, Numeric
from mmt_binary import Binary
from mmt_image import Image
from mmt_text import Text
from mmtoolkit import TrainedRun, UserError
from mmtoolkit.base.words import number
from mmtoolkit.figures.cells import cells
from mmtoolkit.figures.colours import DATA, GROUPS
from mmtoolkit.figures.files import save_figure
from mmtoolkit.figures.latent import MOST_PANELS, colourable, latent_space
from mmtoolkit.figures.latent_rows import latent_rows, principal_components, project
from mmtoolkit.runs.cross_modal import from_others, matrix, place_of
from mmtoolkit.runs.folder import read_data, read_latent
from runs import mmt
from untrained import untrained

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
COUNTS = EXAMPLES.parents[1] / "plugins" / "mmt-counts" / "mmt_counts.py"
PLUGINS: list[str | Path] = ["--plugin", EXAMPLES / "my_counts.py", "--plugin", COUNTS]
SETS = [
    "data.sites=200",
    "data.supervision={keep: 0.6}",
    "train.epochs=2",
    "train.warmup_epochs=1",
    "evaluate=[{kind: prediction}, {kind: imputation}]",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a label and a vector of two counts, with missing cells."""
    out = tmp_path_factory.mktemp("report") / "run"
    done = mmt("run", *PLUGINS, EXAMPLES / "flocks.yaml", "--out", out, *(w for s in SETS for w in ("--set", s)))
    assert done.status == 0, done.err
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def loaded(folder: Path) -> TrainedRun:
    return mmtoolkit.load(folder, plugin_files=PLUGINS[1::2])


def words_of(html: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).split())


# What is missing.


@pytest.mark.slow
def test_the_run_folder_says_what_is_missing(finished: Path) -> None:
    data, dataset = read_data(finished), loaded(finished).dataset
    assert list(data["splits"]) == ["train", "valid", "test"]
    for name, split in dataset.splits.items():
        assert data["splits"][name]["rows"] == len(split)
        shares = data["splits"][name]["missing"]
        assert list(shares) == ["habitat", "flock"]
        for m, share in enumerate(shares.values()):
            assert share == pytest.approx(np.mean([not has for has in split.present[:, m].tolist()]))
    assert data["splits"]["train"]["missing"]["habitat"] > 0.3  # after weak supervision
    assert data["notes"] == dataset.notes


def test_the_report_shows_what_is_missing_and_the_score_from_all_others(finished: Path) -> None:
    data, results = read_data(finished), json.loads((finished / "results.json").read_text())
    words = words_of((finished / "report.html").read_text())
    assert "200 train, 50 valid, 50 test rows." in words
    (score,) = [
        result
        for result in results["scores"][0]["results"]
        if (result["target"], result["given"], result["metric"]) == (["habitat"], ["flock"], "accuracy")
    ]
    shares = " ".join(f"{data['splits'][split]['missing']['habitat']:.1%}" for split in ("train", "valid", "test"))
    relative = score["value"] / score["baseline"]
    assert f"habitat label {shares} accuracy {score['value']:.4f} {score['baseline']:.4f} {relative:.4f}" in words


def test_each_column_of_a_record_has_its_line(tmp_path: Path) -> None:
    rows = [f"{a},{('' if a % 4 == 0 else 2 * a)},{'yn'[a % 2]},{a % 3},{a % 5},{a % 7}" for a in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,d,e,f", *rows]))
    columns = (
        "a: {kind: numeric}, b: {kind: numeric}, c: {kind: label}, d: {kind: label}, e: {kind: label}, f: {kind: label}"
    )
    (tmp_path / "t.yaml").write_text(
        f"""
        name: t
        data: {{kind: table, path: t.csv}}
        modalities: {{all: {{kind: record, columns: {{{columns}}}}}}}
        model: {{kind: mvae, latent_dim: 2}}
        train: {{epochs: 1}}
        evaluate: [{{kind: imputation}}]
        """
    )
    done = mmt("run", tmp_path / "t.yaml", "--out", tmp_path / "run")
    assert done.status == 0, done.err
    words = words_of((tmp_path / "run/report.html").read_text())
    (result,) = [
        result
        for result in json.loads((tmp_path / "run/results.json").read_text())["scores"][0]["results"]
        if (result["target"], result["metric"]) == (["b"], "squared_error")
    ]
    shares = " ".join(f"{split['missing']['b']:.1%}" for split in read_data(tmp_path / "run")["splits"].values())
    assert f"b numeric {shares} squared error {number(result['value'])} {number(result['baseline'])}" in words
    assert "each from all others" in words
    assert "b: squared_error" in words
    texts = [line.split() for line in done.out.splitlines()]
    assert ["b:", "squared_error"] in [line[:2] for line in texts]


def test_notes_on_the_data_stand_in_the_report(run: Path) -> None:
    data = read_data(run)
    data["notes"] = ["train, column x: 3 of 9 cells cannot be read & count as missing"]
    data["splits"]["valid"]["missing"]["flock"] = None  # of a split without rows
    (run / "data.json").write_text(json.dumps(data))
    assert mmt("report", run, "--no-figures").status == 0
    html = (run / "report.html").read_text()
    assert "Train, column x: 3 of 9 cells cannot be read &amp; count as missing." in html


def test_cells_are_shown_as_they_look(own_cache: Path, tmp_path: Path) -> None:
    table = {"pet": ["cat", None, "dog", None, "cat"], "note": ["first", None, "second", "third", None]}
    run = untrained({"pet": Label(), "note": Text(length=8)}, tmp_path, train=table)
    figure = cells(run, "train", 3)
    assert figure is not None
    texts = [text.get_text() for text in figure.texts]
    # The row without a value is left out.
    assert texts == ["pet", "cat", "missing", "cat", "note", "'first'", "'third'", "missing"]
    empty = untrained({"pet": Label()}, tmp_path, train={"pet": ["cat", "dog"]}, test={"pet": [None, None]})
    assert cells(empty, "test") is None


# Scores by target and given.


def result(target: str, given: list[str], value: float | None, baseline: float | None, **more: Any) -> dict[str, Any]:
    metric, better = ("distance", "low") if target == "photo" else ("accuracy", "high")
    entry = {"target": [target], "given": given, "metric": metric, "better": better, "value": value}
    return {**entry, "baseline": baseline, "stderr": 0.01, "examples": 100, **more}


RESULTS = [
    result("price", ["photo"], 0.6, 0.5),
    result("price", ["photo", "name"], 0.9, 0.5),
    result("price", ["price"], 0.51, 0.5),
    result("price", ["photo"], 0.2, 0.1, metric="calibration_error"),
    result("photo", ["name"], 0.2, 0.1),
    result("photo", ["price"], 0.1 / 2**0.5, 0.1),
    result("photo", ["name", "price"], 0.01, 0.1),
    result("name", ["photo"], 0.1, 0.0),
    result("name", ["price"], 0.3, None),
    result("name", [], 0.05, 0.1, stderr=None),
]


def test_scores_stand_by_target_and_given() -> None:
    table = matrix(RESULTS, ["photo", "name", "price"])
    assert table is not None
    assert table.columns == ((), ("photo",), ("name",), ("price",), None)
    rows = {(target, metric): places for target, metric, places in table.rows}
    assert list(rows) == [("photo", "distance"), ("name", "accuracy"), ("price", "accuracy")]
    values = {key: [p and p.result["value"] for p in places] for key, places in rows.items()}
    assert values["photo", "distance"] == [None, None, 0.2, 0.1 / 2**0.5, 0.01]
    assert values["name", "accuracy"] == [0.05, 0.1, None, None, None]
    assert values["price", "accuracy"] == [None, 0.6, None, 0.51, 0.9]
    relative = [p and p.relative for p in rows["price", "accuracy"]]
    assert relative == [None, pytest.approx(1.2), None, pytest.approx(1.02), pytest.approx(1.8)]
    place = rows["name", "accuracy"][1]
    assert place is not None
    assert place.relative is None  # over nothing
    assert [p and p.itself for p in rows["price", "accuracy"]] == [None, False, None, True, False]


def test_colours_say_better_or_worse_where_it_is_significant() -> None:
    table = matrix(RESULTS, ["photo", "name", "price"])
    assert table is not None
    heat = {
        (target, column): place.heat
        for target, _, places in table.rows
        for column, place in zip(table.columns, places, strict=True)
        if place
    }
    assert heat == {
        ("photo", ("name",)): -1.0,  # twice as far
        ("photo", ("price",)): pytest.approx(0.5),
        ("photo", None): 1.0,
        ("name", ()): 0.0,  # no standard error
        ("name", ("photo",)): 1.0,  # over a baseline of nothing
        ("price", ("photo",)): pytest.approx(np.log2(1.2)),
        ("price", ("price",)): 0.0,  # one standard error apart
        ("price", None): pytest.approx(np.log2(1.8)),
    }


@pytest.mark.parametrize("metric", ["squared_error", "accuracy"])
def test_there_is_no_colour_where_a_score_does_not_say_what_is_better(metric: str) -> None:
    stated = result("price", ["photo"], 0.9, 0.1, metric=metric)
    unstated = {key: value for key, value in stated.items() if key != "better"}
    heats = [place_of(one).heat for one in (stated, {**stated, "better": None}, unstated)]
    assert heats == [1.0, 0.0, 0.0]
    assert place_of(unstated).relative == pytest.approx(9.0)


def test_there_is_no_table_where_there_is_nothing_to_compare() -> None:
    names = ["photo", "name", "price"]
    assert matrix([], names) is None
    assert matrix([result("price", ["photo"], 0.6, 0.5), result("photo", ["name"], 0.2, 0.1)], names) is None
    strangers = [result("price", ["gone"], 0.6, 0.5), result("price", ["photo"], 0.6, 0.5)]
    assert matrix(strangers, names) is None
    assert matrix([{**one, "metric": None} for one in RESULTS], names) is None


def test_the_score_from_all_others_is_the_first_there_is() -> None:
    scores = [{"results": RESULTS}, {"results": [result("price", ["photo", "name"], 0.7, 0.5)]}]
    places = from_others(scores, ["photo", "name", "price"])
    assert {name: place.result["value"] for name, place in places.items()} == {"price": 0.9, "photo": 0.01}


def test_the_report_has_the_table(finished: Path) -> None:
    html = (finished / "report.html").read_text()
    tables = re.findall(r'<table class="matrix">.*?</table>', html, re.DOTALL)
    assert len(tables) == 1  # of the imputation each target has one given
    assert words_of(tables[0]).startswith("habitat flock habitat accuracy ")
    results = json.loads((finished / "results.json").read_text())["scores"][0]["results"]
    compared = [score for score in results if score["baseline"] is not None]
    titles = re.findall(r'title="([^"]+: [^"]+baseline[^"]+)"', tables[0])
    assert len(titles) == len(compared) == 4
    assert f"baseline {compared[0]['baseline']:.4f}, {compared[0]['examples']} rows" in " ".join(titles)


# The latent space.


def test_principal_components_are_those_of_the_covariance() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 5)) @ draw.normal(size=(5, 5)) + 3
    points, shares = principal_components(x)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    expected = (x - x.mean(0)) @ vectors[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(shares, values[[-1, -2]] / values.sum(), rtol=1e-12)
    for k in range(2):
        direction = np.linalg.lstsq(x - x.mean(0), points[:, k], rcond=None)[0]
        assert direction[np.abs(direction).argmax()] > 0


@pytest.mark.parametrize("x", [np.arange(4.0)[:, None], np.ones((5, 3)), np.zeros((1, 2))])
def test_principal_components_of_little(x: Any) -> None:
    points, shares = principal_components(x)
    assert points.shape == (len(x), 2)
    assert np.isfinite(points).all()
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(points.std(0)[0], x.std(0).max(), atol=1e-12)
    assert not points[:, 1].any()


MODALITIES = {
    "photo": Image(shape=(1, 8, 8), network="mlp"),
    "pet": Label(classes=("cat", "dog")),
    "male": Binary(values=("0", "1")),
    "face": Attributes(columns=("old", "male"), values=("0", "1")),
    "price": Numeric(),
    "body": Numeric(columns=("height", "weight")),
    "word": Text(length=3, alphabet=("a", "b")),
}
TABLE = {
    "photo": [np.full((8, 8), k, dtype=np.uint8) for k in (10, 20)] + [None] * 2,
    "pet": ["dog", None, "cat", None],
    "male": ["1", "0", None, None],
    "old": ["0", None, "1", None],
    "price": [3.5, 2.0, None, None],
    "height": [None, 1.8, 1.7, None],
    "weight": [80.0, None, None, None],
    "word": ["ab", None, "b", None],
}


def test_each_component_says_what_colours_its_rows(own_cache: Path, tmp_path: Path) -> None:
    run = untrained(MODALITIES, tmp_path, train=TABLE)
    latent = latent_rows(run, "train")
    assert latent["rows"] == [0, 1, 2]  # the last has nothing
    assert latent["shades"] == {
        "pet": ["dog", None, "cat"],
        "male: male": ["1", "0", None],
        "face: male": ["1", "0", None],
        "old": ["0", None, "1"],
        "price": [3.5, 2.0, None],
        "height": [None, 1.8, 1.7],
        "weight": [80.0, None, None],
    }
    assert colourable(latent) == [name for name in latent["shades"] if name != "weight"]
    (batch,) = run.batches("train", [torch.arange(3)])
    with torch.no_grad():
        mean = run.model.infer_all(batch).mean
    np.testing.assert_allclose(latent["means"], mean.double().numpy(), rtol=1e-5)


class Odd(Label):
    """A label whose shades are of every type."""

    kind: Literal["odd"] = "odd"  # type: ignore[assignment]

    def shades(self, name: str, value: Tensor) -> dict[str, Any]:
        return {name: [float("nan"), True, np.float32(0.5), 3][int(value)]}


def test_shades_are_plain_numbers_and_words(own_cache: Path, tmp_path: Path) -> None:
    run = untrained({"x": Odd(classes=tuple("abcd"))}, tmp_path, train={"x": list("abcd")})
    assert latent_rows(run, "train")["shades"] == {"x": [None, "True", 0.5, 3.0]}


def test_of_many_rows_some_are_drawn(own_cache: Path, tmp_path: Path) -> None:
    table = {"price": [float(k) for k in range(2300)]}
    latent = latent_rows(untrained({"price": Numeric()}, tmp_path, train=table), "train")
    assert len(latent["rows"]) == len(latent["means"]) == 2000
    assert latent["rows"] == sorted(set(latent["rows"]))
    assert latent["shades"]["price"] == latent["rows"]
    assert np.mean(latent["rows"]) == pytest.approx(1150, abs=30)


def space(shades: Mapping[str, Any], n: int = 40) -> dict[str, Any]:
    means = np.random.default_rng(1).normal(size=(n, 3)).tolist()
    return {"split": "test", "rows": list(range(n)), "means": means, "shades": shades}


def positions(dots: Collection) -> NDArray[Any]:
    return np.asanyarray(dots.get_offsets())


def groups_of(figure: Figure, panel: int = 0) -> dict[str, tuple[str, int]]:
    """Label -> colour and number of points."""
    return {
        str(dots.get_label()): (to_hex(np.asanyarray(dots.get_facecolor())[0]), len(positions(dots)))
        for dots in figure.axes[panel].collections
    }


def test_points_are_coloured_by_group_number_and_what_is_missing() -> None:
    pets = ["dog"] * 10 + ["cat"] * 20 + [None] * 10
    prices: list[float | None] = [float(k) for k in range(30)] + [None] * 10
    latent = space({"pet": pets, "price": prices, "same": ["x"] * 40})
    figure = latent_space(latent)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["pet", "price", ""]  # the last is the scale
    assert groups_of(figure) == {"missing (10)": (DATA, 10), "cat": (GROUPS[0], 20), "dog": (GROUPS[1], 10)}
    missing, numbers = figure.axes[1].collections
    assert (missing.get_label(), len(positions(missing))) == ("missing (10)", 10)
    assert np.asanyarray(numbers.get_array()).tolist() == prices[:30]
    points, _ = principal_components(np.array(latent["means"]))
    np.testing.assert_allclose(positions(numbers), points[:30])
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["missing (10)", "cat", "dog"]
    chosen = latent_space(latent, ["same", "pet", "same"])
    assert [axes.get_title(loc="left") for axes in chosen.axes] == ["same", "pet"]
    plain = latent_space(space({}))
    assert len(plain.axes) == 1
    assert len(positions(plain.axes[0].collections[0])) == 40


def test_the_largest_of_many_groups_have_colours_of_their_own() -> None:
    names = [f"{k}" for k in range(12) for _ in range(k + 1)]
    groups = groups_of(latent_space(space({"kind": names}, len(names))))
    assert list(groups) == [*(f"{k}" for k in range(3, 12)), "3 others"]
    assert groups["11"][1] == 12
    assert groups["3 others"][1] == 1 + 2 + 3
    assert len({colour for colour, _ in groups.values()}) == len(GROUPS)


def test_there_are_no_more_panels_than_fit() -> None:
    shades = {f"c{k}": [str(k), "x"] * 20 for k in range(MOST_PANELS + 3)}
    assert len(latent_space(space(shades)).axes) == MOST_PANELS
    assert len(latent_space(space(shades), [f"c{MOST_PANELS + 1}"]).axes) == 1


@pytest.mark.slow
def test_the_report_colours_by_what_is_asked_for_from_the_folder_alone(run: Path) -> None:
    before = (run / "figures" / "latent.png").read_bytes()
    done = mmt("report", run, "--colour", "lark")
    assert done.status == 0, done.err
    assert done.out == f"{run / 'report.html'}\n"
    after = (run / "figures" / "latent.png").read_bytes()
    assert after != before
    save_figure(latent_space(read_latent(run), ["lark"]), run / "same.png")
    assert (run / "same.png").read_bytes() == after
    assert mmt("report", run, *PLUGINS).status == 0
    assert (run / "figures" / "latent.png").read_bytes() == after
    assert mmt("report", run, "--projection", "pca").status == 0
    assert (run / "figures" / "latent.png").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (["--colour", "larch"], ("--colour larch: ", "column", "; ", "habitat, heron, lark")),
        (["--projection", "tsne"], ("--projection tsne: ", "; ", "pca or umap")),
        (["--projection", "umap"], ("--projection umap: ", "umap-learn", "; ", "pip install 'mmtoolkit[umap]'")),
    ],
)
def test_pictures_that_cannot_be_drawn(
    options: list[str], facts: tuple[str, ...], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    before = (run / "figures" / "latent.png").read_bytes()
    done = mmt("report", run, *options)
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert_facts(line, *facts)
    assert (run / "figures" / "latent.png").read_bytes() == before


def test_a_damaged_latent_space_is_an_error(run: Path) -> None:
    resume = f"`mmt run {run}/schema.yaml --out {run} --resume`"
    path = run / "latent.json"
    whole = json.loads(path.read_text())
    for damaged, fault in [
        ({**whole, "means": whole["means"][:-1]}, "length"),
        ({**whole, "shades": {"x": [1.0]}}, "length"),
        ({**whole, "rows": "all"}, "rows: input should be a valid array"),
    ]:
        path.write_text(json.dumps(damaged))
        ended = mmt("report", run, "--colour", "lark")
        assert ended.status == 2
        (line,) = ended.err.splitlines()
        assert_facts(line, f"{path}: ", "damaged", fault, "; ", resume)
    path.write_text(json.dumps({**whole, "rows": [], "means": [], "shades": {}}))
    ended = mmt("report", run, "--projection", "pca")
    assert ended.status == 2
    assert_facts(ended.err, f"{run}: ", "no row of test", "z", "; ", "data")
    path.unlink()
    assert_facts(mmt("report", run, "--colour", "lark").err, f"{path}: ", "no such file; ", resume)
    assert mmt("report", run, "--no-figures").status == 0


def test_umap_keeps_apart_what_lies_apart() -> None:
    pytest.importorskip("umap")
    draw = np.random.default_rng(0)
    means = np.concatenate([draw.normal(size=(40, 6)), draw.normal(size=(40, 6)) + 20])
    points, names = project(means, "umap")
    assert names == ("UMAP 1", "UMAP 2")
    centres = points[:40].mean(0), points[40:].mean(0)
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * points[:40].std()
    np.testing.assert_array_equal(points, project(means, "umap")[0])


def test_too_few_points_for_umap() -> None:
    pytest.importorskip("umap")
    with pytest.raises(UserError, match=r"^--projection umap: 3 rows .*too few.*; .*pca"):
        project(np.zeros((3, 2)), "umap")


# Pictures are drawn again.


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "figures").glob("*.png")}


def spoil(run: Path) -> dict[str, bytes]:
    """Put another picture in the place of each; the pictures before."""
    before = contents(run)
    for name in before:
        PILImage.new("L", (9, 9)).save(run / "figures" / name)
    return before


OF_ROWS = ("cells.png", "contributions.png", "from_all.png", "given_", "from_")


@pytest.mark.slow
def test_all_pictures_but_those_of_scores_and_the_latent_space_are_drawn_again(run: Path) -> None:
    listed = json.loads((run / "figures.json").read_text())
    of_score = {"file": "0_mine.png", "name": "mine", "title": "Mine", "text": "", "evaluator": 0}
    listed["pictures"].append(of_score)
    (run / "figures.json").write_text(json.dumps(listed))
    PILImage.new("L", (5, 5)).save(run / "figures/0_mine.png")
    before = spoil(run)
    (run / "figures/samples.png").unlink()
    done = mmt("report", run, *PLUGINS)
    assert done.status == 0, done.err
    assert_facts(done.err, "0_mine.png", "stay as they are", "mmt evaluate")
    same = {name for name, picture in contents(run).items() if picture == before[name]}
    assert same == before.keys() - {"0_mine.png", "latent.png", "samples.png"}
    without = [entry for entry in listed["pictures"] if entry["file"] != "samples.png"]
    assert json.loads((run / "figures.json").read_text())["pictures"] == without


def test_pictures_of_rows_stay_where_the_data_is_gone(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = spoil(run)
    spoilt = contents(run)

    def gone(*_: Any) -> Any:
        raise UserError("/data/flocks: there is no such file; put it there")

    monkeypatch.setattr("mmtoolkit.runs.trained.prepare", gone)
    done = mmt("report", run, *PLUGINS)
    assert done.status == 0, done.err
    (line,) = [line for line in done.err.splitlines() if "/data/flocks" in line]
    for name, picture in contents(run).items():
        if name in ("samples.png", "learning_curves.png"):
            assert picture == before[name]
        else:
            assert picture == spoilt[name]
            assert (name in line) == name.startswith(OF_ROWS)


def test_without_figures_neither_plugin_nor_weights_are_read(run: Path) -> None:
    before = contents(run)
    (run / "weights.safetensors").unlink()
    assert mmt("report", run, "--no-figures").status == 0
    done = mmt("report", run)
    assert done.status == 2
    assert_facts(done.err, "mmt_counts.py", "; ", "--plugin")
    assert contents(run) == before
