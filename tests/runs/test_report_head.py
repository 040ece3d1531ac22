"""What a notebook shows of a trained run: the head of its report."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

import mmtoolkit
from mmt_attributes import Numeric
from mmtoolkit import MVAE, Arrays, Schema, TrainedRun, TrainOptions
from mmtoolkit.base.locations import caching_in, prepared_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    columns = {f"number {place}": [float(row * place % 7) for row in range(20)] for place in range(1, 15)}
    units: dict[str, Any] = {name: Numeric() for name in columns}
    schema = Schema(
        name="<numbers>",
        data=Arrays.of(columns, split={"train": 0.8, "valid": 0.2}),
        modalities=units,
        model=MVAE(latent_dim=3),
        train=TrainOptions(epochs=1, batch_size=16),
    )
    return mmtoolkit.run(schema, tmp_path_factory.mktemp("head") / "run", device="cpu", figures=False)


@pytest.mark.slow
def test_it_shares_its_parts_with_the_report(run: TrainedRun) -> None:
    html, report = str(run._repr_html_()), (run.folder / "report.html").read_text(encoding="utf-8")
    parts = (r"\.mmt \{.*?^\}$", r"<h1>.*?</h1>", r'<p class="lead">.*?</p>', r'<div class="facts">.*?^</div>$')
    for part in parts:
        (own,) = re.findall(part, html, re.DOTALL | re.MULTILINE)
        assert own in report
    assert "<b>mvae</b><span>model, z of 3 numbers</span>" in html
    assert "<h1>&lt;numbers&gt;</h1>" in html
    assert not re.search(r"<html|<script|https?://|<img", html)


@pytest.mark.slow
def test_it_is_short(run: TrainedRun) -> None:
    html = str(run._repr_html_())
    assert [f"<td>number {place}</td>" in html for place in (1, 12, 13)] == [True, True, False]
    assert "And 2 more modalities." in html
    assert "<td>number 14</td>" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_a_run_that_was_never_saved_has_none(run: TrainedRun) -> None:
    assert dataclasses.replace(run, saved=False)._repr_html_() is None
    assert repr(run) == f"TrainedRun(<numbers>: mvae of 14 modalities, in {run.folder})"
    assert repr(dataclasses.replace(run, saved=False)) == "TrainedRun(<numbers>: mvae of 14 modalities, not saved)"


def test_a_cache_of_its_own(run: TrainedRun, tmp_path: Path) -> None:
    before = prepared_folder()
    with caching_in(tmp_path):
        assert prepared_folder() == tmp_path / "prepared"
        mmtoolkit.prepare(run.schema.data, run.schema.units)
    assert prepared_folder() == before
    cards = [json.loads(path.read_text()) for path in (tmp_path / "prepared").rglob("column.json")]
    assert len(cards) == 28  # of 14 columns in two splits
