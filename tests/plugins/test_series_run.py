"""The example of the documentation from the command line: days with gaps and a label, trained shortly and filled."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from mmt_series import SeriesModality
from mmtoolkit import read_schema, run
from runs import mmt

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The rows of loads.jsonl, which lies in the current folder."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "loads.py"))
    return rows("loads.jsonl")


@pytest.mark.slow
def test_days_with_gaps_are_trained_with_their_label_and_filled(loads: list[dict[str, Any]]) -> None:
    Path("loads.yaml").write_text((EXAMPLES / "loads.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    small = ["load.network.channels=4", "load.network.width=32"]
    short = ["train.epochs=6", "train.warmup_epochs=2", "train.learning_rate=1e-2"]
    schema = read_schema("loads.yaml", [*(f"modalities.{option}" for option in small), *short])
    trained = run(schema, "run", figures=False)
    assert mmt("impute", "run", "loads.jsonl", "--out", "filled.jsonl").status == 0
    filled = rows("filled.jsonl")
    assert len(filled) == len(loads)
    for before, after in zip(loads, filled, strict=True):
        assert after["day"] in {"workday", "weekend", "holiday"}
        assert before["day"] in {None, after["day"]}
        assert len(after["load"]) == 24
        assert None not in after["load"]
        for known, number in zip(before["load"] or [None] * 24, after["load"], strict=True):
            assert known in (None, number)
        if before["load"] is None:
            assert all(number == round(number, 2) for number in after["load"])
            assert all(5 < number < 20 for number in after["load"])

    (score,) = [
        result
        for result in trained.results["scores"][0]["results"]
        if (result["target"], result["given"], result["metric"]) == (["load"], ["load"], "squared_error")
    ]
    assert score["value"] < 0.5 * score["baseline"]
    series = trained.modalities["load"]
    assert isinstance(series, SeriesModality)
    assert (series.length, series.decimals) == (24, 2)


def test_init_proposes_the_schema(loads: list[dict[str, Any]]) -> None:
    for table in ("loads.jsonl", "loads.csv"):
        if table.endswith("csv"):
            lines = [f'{row["day"] or ""},"{json.dumps(row["load"]) if row["load"] else ""}"' for row in loads]
            Path(table).write_text("\n".join(["day,load", *lines]) + "\n", encoding="utf-8")
        assert mmt("init", table, "--out", f"{table}.yaml").status == 0
        text = Path(f"{table}.yaml").read_text(encoding="utf-8")
        assert "load: {kind: series}" in text
        assert "lists of 24 numbers" in text
        assert "day: {kind: label" in text
        assert mmt("check", f"{table}.yaml").status == 0
