"""`mmt explain` and `run.explain`: tables and pictures of contributions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

import mmtoolkit
from mmtoolkit import DataWarning, TrainedRun, UserError
from mmtoolkit.figures.contributions import Bar, draw_contributions
from mmtoolkit.using.contributions import Explainer
from runs import assert_refused, mmt
from table_runs import cells_of, read_csv, truth, with_holes, write_csv


@pytest.fixture(scope="module")
def run(things: Path) -> TrainedRun:
    return mmtoolkit.load(things)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "new.csv", with_holes(truth(12, tmp_path, 5), 0.4))


def test_the_table_has_the_contributions_of_each_row(run: TrainedRun, new: Path) -> None:
    out = new.with_name("why.csv")
    done = mmt("explain", run.folder, new, "--out", out, "--target", "price", "--keep", "id")
    assert (done.status, done.out, done.err) == (0, f"{out}\n", "")
    rows = read_csv(out)
    names = list(rows[0])
    assert names[:6] == ["id", "price_predicted", "photo_share", "photo_shift", "photo_kl", "photo_effect"]
    assert names[-1] == "prior_share"
    assert "price_kl" in names
    assert "price_effect" not in names
    known = read_csv(new)
    assert [row["id"] for row in rows] == [row["id"] for row in known]
    assert [row["photo_kl"] == "" for row in rows] == [row["photo"] in ("", "NA") for row in known]
    cells = [cells_of(run, row, new.parent) for row in known]
    explained = Explainer(run, "price").contributions(run.batch(cells))
    for (part, measure), values in explained.numbers.items():
        written = [float(row[f"{part}_{measure}"] or "nan") for row in rows]
        np.testing.assert_allclose(written, values.numpy(), rtol=1e-4, atol=1e-5)
    shares = [sum(float(x or 0) for name, x in row.items() if name.endswith("_share")) for row in rows]
    np.testing.assert_allclose(shares, 1, rtol=1e-5)


def test_formats_and_frames_agree(run: TrainedRun, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ending in ("parquet", "json"):
        assert mmt("explain", run.folder, new, "--out", new.with_name(f"w.{ending}"), "--target", "sort").status == 0
    table = pa.parquet.read_table(new.with_name("w.parquet"))
    assert table.schema.field("sort_predicted").type == pa.string()
    assert {field.type for field in table.schema if field.name != "sort_predicted"} == {pa.float32()}
    assert json.loads(new.with_name("w.json").read_text())[3]["photo_kl"] == table["photo_kl"].to_pylist()[3]
    monkeypatch.chdir(new.parent)
    frame = pd.read_csv(new, index_col="id")
    explained = run.explain(frame, target="sort", keep=["price"])
    assert explained.index.equals(frame.index)
    assert list(explained.columns) == ["price", *table.column_names]
    assert explained["sort_predicted"].tolist() == table["sort_predicted"].to_pylist()
    np.testing.assert_allclose(explained["price_kl"], table["price_kl"].to_pandas(), rtol=1e-4, atol=1e-6)
    polars = run.explain(pl.from_pandas(frame.astype(object).where(frame.notna(), None)), target="sort")
    arrow = run.explain(pa.Table.from_pandas(frame, preserve_index=False), target="sort")
    assert polars["price_kl"].null_count() == arrow["price_kl"].null_count == table["price_kl"].null_count


@pytest.mark.slow
def test_pictures_of_a_row_and_of_the_means(run: TrainedRun, new: Path) -> None:
    for options in ([], ["--row", "2", "--target", "price"]):
        figure = new.with_name(f"p{len(options)}.png")
        done = mmt("explain", run.folder, new, "--figure", figure, *options)
        assert (done.status, done.out, done.err) == (0, f"{figure}\n", "")
        with Image.open(figure) as picture:
            assert min(picture.size) > 200
    assert_refused(
        mmt("explain", run.folder, new, "--figure", figure), [str(figure), "is there already", "--overwrite"]
    )


def bars_of(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_bars_are_as_long_as_their_values() -> None:
    bars = [
        Bar("a", [0.5, -2.0]),
        Bar("in a", [0.1, float("nan")], within=True),
        Bar("prior", [0.4, float("nan")], is_prior=True),
    ]
    figure = draw_contributions(bars, ["share", "effect"], "title")
    widths = [bars_of(axes) for axes in figure.axes]
    assert widths == [[0.5, 0.1, 0.4], [-2.0]]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "in a", "prior"]
    many = draw_contributions([Bar(str(k), [float(k)]) for k in range(50)], ["share"])
    assert bars_of(many.axes[0]) == list(map(float, range(20, 50)))
    assert many.get_supxlabel() == "and 20 more"


def test_rows_with_nothing_and_lacking_columns_are_noted(run: TrainedRun) -> None:
    with pytest.warns(DataWarning) as notes:
        explained = run.explain({"price": [2.0, None], "ripe": ["yes", None]}, target="price")
    texts = " ".join(str(note.message) for note in notes)
    assert "rows with nothing to infer z from: 1; they have no contributions" in texts
    assert "z is inferred without it" in texts
    assert np.isnan(explained["price_kl"][1])
    assert np.isnan(explained["photo_kl"]).all()
    assert explained["prior_share"][1] == 1
    assert explained["price_predicted"][0] is not None  # from what is ripe


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        ([], ["--out FILE", "--figure FILE.png", "or both"]),
        (["--row", "1", "--out", "w.csv"], ["--row 1", "add --figure FILE.png"]),
        (["--keep", "id", "--figure", "w.png"], ["--keep id", "add --out FILE"]),
        (["--figure", "w.pdf"], ["w.pdf", "ends in .png"]),
        (["--figure", "w.png", "--row", "99"], ["has 12 rows", "no row 99"]),
        (["--out", "w.csv", "--target", "prize"], ["target prize", "no such modality", "did you mean 'price'"]),
        (["--out", "w.csv", "--keep", "nothing"], ["no column 'nothing' to keep"]),
    ],
)
def test_options_that_do_not_fit(run: TrainedRun, new: Path, words: list[str], facts: list[str]) -> None:
    words = [str(new.with_name(word)) if word.startswith("w.") else word for word in words]
    assert_refused(mmt("explain", run.folder, new, *words), facts)
    assert not list(new.parent.glob("w.*"))


def test_a_table_without_the_columns(run: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("weight\n1\n")
    done = mmt("explain", run.folder, tmp_path / "t.csv", "--out", tmp_path / "w.csv")
    assert_refused(done, ["has none of the columns that the run reads", "price"])


def test_a_row_that_is_not_there(run: TrainedRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 1 rows, so there is no row 2 to draw"):
        run.explain({"price": [2.0]}, figure=tmp_path / "f.png", row=1)
