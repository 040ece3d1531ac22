"""The schemas of faces from start to report, on a release that is drawn."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from faces import face, write_release
from facts import assert_facts
from runs import mmt, sets

TINY = ["train.epochs=1", "train.warmup_epochs=1", "train.batch_size=3", "model.latent_dim=4"]


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_release(tmp_path / "data" / "celeba", landmarks=True)
    monkeypatch.setenv("MMT_DATA", str(tmp_path / "data"))


@pytest.mark.usefixtures("faces")
@pytest.mark.parametrize(
    ("schema", "changes", "scored"),
    [
        pytest.param("celeba-small", [], {"image", "attributes"}, marks=pytest.mark.slow),
        pytest.param(
            "celeba19-small",
            ["data.supervision={keep: 0.3}"],
            {"image", "Male", "Smiling"},
            marks=pytest.mark.slow,
        ),
        pytest.param("vision-small", [], {"image", "edges", "mask"}, marks=pytest.mark.slow),
        pytest.param("celeba-small", ["model.kind=cvae"], {"image"}, marks=pytest.mark.slow),
        pytest.param("celeba-small", ["model.kind=jmvae"], {"image", "attributes"}, marks=pytest.mark.slow),
        pytest.param("celeba19-small", ["model.kind=jmvae"], {"Male"}, marks=pytest.mark.slow),
        pytest.param("vision-small", ["model.kind=vae"], set(), marks=pytest.mark.slow),
    ],
)
def test_from_start_to_report(schema: str, changes: list[str], scored: set[str], tmp_path: Path) -> None:
    done = mmt("run", schema, *sets(*TINY, *changes), "--out", tmp_path / "run")
    assert done.status == 0, done.err
    assert (tmp_path / "run" / "report.html").exists()
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    elbo, prediction, likelihood = results["scores"]
    assert scored <= {name for result in prediction["results"] for name in result["target"]}
    assert all(result["value"] is not None for result in elbo["results"])
    assert likelihood["results"]
    for result in likelihood["results"]:
        assert result["value"] < 0
        assert 1 <= result["ess"] <= result["samples"]


@pytest.mark.usefixtures("faces")
@pytest.mark.slow
def test_what_is_known_of_a_vector_is_enough_to_sample_from(tmp_path: Path) -> None:
    assert mmt("run", "celeba-small", *sets(*TINY), "--out", tmp_path / "run").status == 0
    out = tmp_path / "men.csv"
    done = mmt("sample", tmp_path / "run", "--given", "attributes={Male: 1, Bald: -1}", "-n", "3", "--out", out)
    assert done.status == 0, done.err
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 3
    for row in rows:
        assert (row["Male"], row["Bald"]) == ("1", "-1")
        assert len(row) == 19
        assert {cell for name, cell in row.items() if name != "image"} == {"1", "-1"}  # the rest is predicted
        assert Image.open(tmp_path / row["image"]).size == (64, 64)
    face(3).save(tmp_path / "face.jpg")
    done = mmt(
        "sample", tmp_path / "run", "--given", f"image={tmp_path / 'face.jpg'}", "-n", "2", "--out", out, "--overwrite"
    )
    assert done.status == 0, done.err


@pytest.mark.usefixtures("faces")
@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("attributes={Mal: 1}", "'Mal'"),
        ("attributes={Male: 7}", "Male: 7 "),
        pytest.param("attributes={}", "no known value", marks=pytest.mark.slow),
        pytest.param("attributes=Male", "mapping", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_a_wrong_vector_is_an_error(given: str, fault: str, tmp_path: Path) -> None:
    assert mmt("run", "celeba-small", *sets(*TINY), "--out", tmp_path / "run").status == 0
    done = mmt("sample", tmp_path / "run", "--given", given, "--out", tmp_path / "x.csv")
    assert done.status == 2
    [line] = done.err.splitlines()
    assert_facts(line, f"--given {given}: ", fault)
