"""Scores in the terminal: at any width, each number stands beside the name of its score."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from mmtoolkit.cli.tables import score_tables

SCORE: dict[str, Any] = {
    "kind": "log_likelihood",
    "split": "test",
    "results": [
        {
            "target": target,
            "given": given,
            "proposal": ["image"],
            "value": -21_072.375,
            "stderr": 162.25,
            "examples": 250,
            "log_weight_variance": 33_698.25,
            "ess": 1.0358,
            "marginal_ess": 1.1034,
            "incomplete": 3,
        }
        for target, given in ((["image"], []), (["image", "label"], []), (["image"], ["label"]))
    ],
}


def printed(width: int) -> list[str]:
    """The lines of the tables in a terminal of that width."""
    text = io.StringIO()
    console = Console(file=text, width=width)
    for part in score_tables(SCORE, width):
        console.print(part)
    return text.getvalue().splitlines()


@pytest.mark.parametrize(("width", "tables"), [(60, 3), (80, 2), (120, 1), (200, 1)])
def test_names_and_numbers_are_whole(width: int, tables: int) -> None:
    lines = printed(width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert sum(line.startswith("log_likelihood on test") for line in lines) == tables
    for name in ("log p(image), z from image ", "log p(image | label), z from"):
        assert text.count(name) == tables
    for number in ("-21,072.38", "162.25", "250", "33,698.25", "1.0358", "1.1034"):
        assert text.count(number) == 3
    assert all(heading in text for heading in ("marginal", "variance"))
    assert ("incomplete" in text) == (width > 60)


def test_only_the_first_of_many_results_are_printed() -> None:
    one = {**SCORE["results"][0], "incomplete": 0}
    many = {**SCORE, "results": [one] * 100}
    text = io.StringIO()
    for part in score_tables(many, 200):
        Console(file=text, width=200).print(part)
    lines = text.getvalue().splitlines()
    assert sum(line.startswith(" log p(image)") for line in lines) == 40
    assert "60 more" in lines[-1]
    assert "incomplete" not in text.getvalue()  # 0 of all
