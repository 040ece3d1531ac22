"""The notebook of the documentation: its code runs, and prints what it shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "examples" / "wines.ipynb"


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def printed_in(cell: dict[str, Any]) -> str:
    return "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")


def numbers_in(text: str) -> dict[str, float]:
    """What stands before each number of an output -> the number."""
    return {words: float(number) for words, number in re.findall(r"([^\d\n]*?)([\d.]*\d)(?=%|$)", text, re.MULTILINE)}


def test_each_cell_has_an_output() -> None:
    assert len(code_cells()) >= 5
    assert all(cell["outputs"] for cell in code_cells())
    assert {output["output_type"] for cell in code_cells() for output in cell["outputs"]} == {
        "stream",
        "execute_result",
    }


@pytest.mark.slow
def test_the_code_runs_and_prints_what_the_notebook_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn", minversion="1.6")
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    for place, cell in enumerate(code_cells()):
        exec(compile("".join(cell["source"]), f"cell {place}", "exec", dont_inherit=True), space)
        printed, shown = numbers_in(capsys.readouterr().out), numbers_in(printed_in(cell))
        assert printed.keys() == shown.keys()
        for words, number in printed.items():
            assert number == pytest.approx(shown[words], rel=0.1), words
    assert not list(tmp_path.iterdir())
    assert "mmt short" in space["imputer"].run_._repr_html_()
