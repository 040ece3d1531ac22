"""The benchmark of mixed tables: its characters, its pictures, what it hides and scores, and its page."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import get_data_path
from PIL import Image

from filling import ours
from filling.columns import read_table
from filling.filled import Effort, holed
from filling.masks import mask_of
from kanji.dictionary import draw_rows, frame_of, read_characters
from kanji.page import FOLDER, PAGE, render, section
from kanji.pictures import SIZE, draw_characters
from kanji.summary import gains, mean_gain, rounded, scores
from kanji.views import VIEWS

ROOT = Path(__file__).parents[2]
LATIN = Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
LINES = """\
# KANJIDIC, made up
亜 3021 U4e9c B1 C7 G8 S7 F1509 J1 N43 Q1010.6 DR3273 Yya4 Wa ア つ.ぐ {Asia} {rank next} {come after} {-ous} {fifth}
唖 3022 U5516 B30 S10 XJ13560 S11 N939 Q6101.7 Yya1 Wa ア アク おし {mute} {dumb}
逢 3029 U9022 B162 G2 S10 S9 F2116 Q3730.4 あ.う {meeting (of people)}
"""


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    path = tmp_path / "kanjidic"
    path.write_text(LINES, encoding="euc-jp")
    return path


def test_a_line_of_the_dictionary_becomes_a_row(dictionary: Path) -> None:
    first, second, third = read_characters(dictionary)
    assert first.sign == "亜"
    assert first.cells == {
        "meaning": "asia rank next come after ous",
        "reading": "ア",
        "strokes": "7",
        "frequency": "1509",
        "jlpt": "1",
        "grade": "secondary",
        "radical": "1",
        "top_left": "horizontal",
        "top_right": "lid",
        "bottom_left": "horizontal",
        "bottom_right": "lid",
    }
    assert (second.cells["strokes"], second.cells["grade"], second.cells["jlpt"]) == ("10", "", "")
    assert (third.cells["grade"], third.cells["reading"]) == ("year 2", "")


def test_rows_are_drawn_in_the_order_of_the_dictionary(dictionary: Path) -> None:
    characters = read_characters(dictionary)
    assert draw_rows(characters, 9, 0) == characters
    drawn = [draw_rows(characters, 2, seed) for seed in range(20)]
    assert all([characters.index(c) for c in rows] in ([0, 1], [0, 2], [1, 2]) for rows in drawn)
    assert len({tuple(c.sign for c in rows) for rows in drawn}) == 3


def test_each_character_has_a_picture(dictionary: Path, tmp_path: Path) -> None:
    characters = read_characters(dictionary)
    paths = draw_characters(characters, LATIN, tmp_path)
    assert paths == ["pictures/4e9c.png", "pictures/5516.png", "pictures/9022.png"]
    with Image.open(tmp_path / paths[0]) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (SIZE, SIZE)
    assert pixels[0, 0] == 255  # the margin
    assert pixels.min() < 200
    frame = frame_of(characters, paths)
    assert list(frame["picture"]) == paths
    assert list(frame["grade"].fillna("")) == ["secondary", "", "year 2"]
    assert list(frame["radical"]) == ["radical 1", "radical 30", "radical 162"]


def test_seldom_radicals_are_one_class(dictionary: Path) -> None:
    first, *_ = read_characters(dictionary)
    many = [
        *[first] * 3,
        *(type(first)("x", {**first.cells, "radical": str(r)}) for r in range(100, 140) for _ in "ab"),
    ]
    frame = frame_of(many, ["x.png"] * len(many))
    assert frame["radical"].nunique() == 21
    assert (frame["radical"] == "radical 1").sum() == 3
    assert (frame["radical"] == "other").sum() == 2 * 21


def test_what_is_not_there_is_named_with_what_to_install(dictionary: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: .*install Debian's package kanjidic, or give --dictionary"):
        read_characters(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no\.ttf: .*install Debian's package fonts-.*, or give --font"):
        draw_characters(read_characters(dictionary), tmp_path / "no.ttf", tmp_path)


def mixed(rows: int = 60) -> pd.DataFrame:
    """A column of numbers, one of classes, pictures and texts."""
    draw = np.random.default_rng(0)
    sizes = draw.normal(size=rows).round(2)
    return pd.DataFrame(
        {
            "picture": [f"pictures/{i}.png" for i in range(rows)],
            "meaning": [f"thing {i}" for i in range(rows)],
            "reading": [f"r{i}" for i in range(rows)],
            "strokes": sizes,
            "grade": np.where(sizes > 0, "high", "low"),
        }
    )


@pytest.mark.parametrize(
    ("view", "columns"),
    [
        ("scalars", ["strokes", "grade"]),
        ("texts", ["meaning", "reading", "strokes", "grade"]),
        ("pictures", ["picture", "strokes", "grade"]),
        ("both", ["picture", "meaning", "reading", "strokes", "grade"]),
    ],
)
def test_a_view_has_its_columns_without_what_is_hidden(
    view: str, columns: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = read_table("mixed", mixed())
    hidden = mask_of(table, 0)
    seen = []
    monkeypatch.setattr(ours, "fill_in", lambda folder, table, effort, settings: seen.append(table))
    VIEWS[view].fill(holed(table, hidden), Effort(), tmp_path)
    (given,) = seen
    assert list(given.texts) == columns
    assert hidden.sum() == 12
    assert ((given.texts[["strokes", "grade"]] == "").to_numpy() == hidden).all()
    assert list(given.values) == ["strokes", "grade"]


def test_gains_are_differences_of_scores_with_their_errors() -> None:
    draw = np.random.default_rng(0)
    ours_by_column: dict[str, Any] = {"size": draw.chisquare(1, 50), "pet": (draw.random(50) < 0.3).astype(float)}
    theirs: dict[str, Any] = {"size": 2 * draw.chisquare(1, 50), "pet": (draw.random(50) < 0.5).astype(float)}
    of_ours, of_theirs = scores(ours_by_column, {"size"}), scores(theirs, {"size"})
    assert of_ours["pet"] == pytest.approx(1 - ours_by_column["pet"].mean())
    assert of_ours["size"] == pytest.approx(math.sqrt(ours_by_column["size"].mean()))
    gained = gains(ours_by_column, theirs, {"size"})
    assert gained["pet"]["gain"] == pytest.approx(of_ours["pet"] - of_theirs["pet"])
    assert gained["size"]["gain"] == pytest.approx(of_theirs["size"] - of_ours["size"])
    gaps = theirs["pet"] - ours_by_column["pet"]
    assert gained["pet"]["error"] == pytest.approx(gaps.std(ddof=1) / math.sqrt(50))
    # The error of a difference of roots, by drawing cells again.
    drawn = [draw.integers(0, 50, 50) for _ in range(4000)]
    roots = [np.sqrt(theirs["size"][at].mean()) - np.sqrt(ours_by_column["size"][at].mean()) for at in drawn]
    assert gained["size"]["error"] == pytest.approx(np.std(roots), rel=0.15)
    assert mean_gain(gained, set()) is None
    both = mean_gain(gained, {"size", "pet"})
    assert both is not None
    assert both["gain"] == pytest.approx((gained["size"]["gain"] + gained["pet"]["gain"]) / 2)
    assert both["error"] == pytest.approx(math.hypot(gained["size"]["error"], gained["pet"]["error"]) / 2)


def test_one_cell_has_a_gain_without_an_error() -> None:
    assert rounded(gains({"pet": [0.0]}, {"pet": [1.0]}, ())) == {"pet": {"gain": 1.0, "error": None}}


def result() -> dict[str, Any]:
    gain = {"gain": 0.25, "error": 0.1}
    columns = {"strokes": {"gain": -0.1, "error": None}, "grade": gain}
    return {
        "date": "2026-01-01",
        "versions": {"mmtoolkit": "0.2 at abc"},
        "rows": 1000,
        "masks": 1,
        "settings": ["train.epochs=2", "train.ema=0.9"],
        "busy": False,
        "columns": {
            "strokes": {"numbers": True, "missing": 0.0, "hidden": 10},
            "grade": {"numbers": False, "missing": 0.5, "hidden": 20},
        },
        "schemas": {"both": "# A comment.\nname: table\nmodalities:\n  picture: {}\n\nmodel:\n  kind: mvae  # which\n"},
        "methods": {
            "mode": {"seconds": 0.1, "scores": {"strokes": 1.0, "grade": 0.25}},
            "both": {"seconds": 61.0, "scores": {"strokes": 0.5, "grade": 0.5}},
        },
        "gains": {"both scalars": {"columns": columns, "accuracy": gain, "nrmse": columns["strokes"]}},
    }


def test_the_page_has_scores_gains_and_the_schema(tmp_path: Path) -> None:
    text = section(result())
    about = "1,000 rows, 1 mask, 2026-01-01, with mmtoolkit 0.2 at abc."
    assert text.startswith(f"{about} Edited: `mmt run` had `--set train.epochs=2 --set train.ema=0.9`.\n")
    assert section({**result(), "settings": []}).startswith(f"{about}\n")
    assert " Other work ran on the machine, so seconds say little.\n" in section({**result(), "busy": True})
    for line in (
        "| column | missing | hidden cells | score | mode, mean | + pictures and texts |",
        "| `strokes` | 0 % | 10 | NRMSE | 1.000 | 0.500 |",
        "| `grade` | 50 % | 20 | accuracy | 0.250 | 0.500 |",
        "| **mean of 1** |  |  | NRMSE | **1.000** | **0.500** |",
        "| seconds a mask, all commands |  |  |  | 0 s | 61 s |",
        "| gain by | pictures and texts beside the scalars |",
        "| `strokes` | -0.100 |",
        "| `grade` | +0.250 ± 0.100 |",
        "Beside the scalars, pictures and texts help to fill, by more than two standard errors, `grade`; "
        "they harm none.",
        "The schema that `mmt init` of mmtoolkit 0.2 at abc wrote for the last mask (+ pictures and texts), without "
        "its comments. It leaves `meaning`, `reading` out. Other versions may write another.",
        "```text\nname: table\nmodalities:\n  picture: {}\nmodel:\n  kind: mvae\n```",
    ):
        assert f"\n{line}\n" in f"{text}\n"
    (tmp_path / "abacus.json").write_text(
        json.dumps({"machine": {"processor": "Abacus", "cores": 10}, **result()}), encoding="utf-8"
    )
    assert f"## Abacus, 10 cores\n\n{text}\n" in render(tmp_path)


def test_the_page_is_that_of_the_results() -> None:
    assert any(FOLDER.glob("*.json"))
    assert PAGE.read_text(encoding="utf-8") == render()  # `python -m kanji.page` writes it anew


def made_up(path: Path) -> Path:
    """A dictionary of 200 characters."""
    draw = np.random.default_rng(0)
    signs = [bytes([0xB0 + i // 90, 0xA1 + i % 90]).decode("euc-jp") for i in range(200)]
    lines = [
        f"{sign} 3021 U4e9c B{1 + i % 3} G{1 + i % 6} S{1 + i % 20} J{1 + i % 4} Q{draw.integers(1000, 9999)}.0 {{ox}}"
        for i, sign in enumerate(signs)
    ]
    path.write_text("\n".join(lines), encoding="euc-jp")
    return path


@pytest.mark.slow
def test_the_table_is_one_of_pictures_and_columns_for_a_user_too(tmp_path: Path) -> None:
    characters = read_characters(made_up(tmp_path / "kanjidic"))
    frame = frame_of(characters, draw_characters(characters, LATIN, tmp_path))
    table = read_table("kanji", frame)
    assert table.numbers == {"strokes"}
    assert {"jlpt", "grade", "radical", "top_left", "bottom_right"} <= {*table.values}
    table.texts.to_csv(tmp_path / "table.csv", index=False)
    mmt = Path(sys.executable).with_name("mmt")
    subprocess.run([mmt, "init", "table.csv"], cwd=tmp_path, check=True, capture_output=True)
    schema = (tmp_path / "table.yaml").read_text(encoding="utf-8")
    assert "picture: {kind: image, shape: [1, 32, 32]" in schema
    assert "strokes: {kind: " in schema


@pytest.mark.slow
def test_the_script_measures_a_small_table(tmp_path: Path) -> None:
    files = ["--dictionary", str(made_up(tmp_path / "kanjidic")), "--font", str(LATIN), "--results", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/mixed.py", "--quick", "--views", "scalars", *files],
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    (path,) = tmp_path.glob("*.json")
    measured = json.loads(path.read_text(encoding="utf-8"))
    assert list(measured["methods"]) == ["mode", "neighbours", "missforest", "scalars"]
    assert list(measured["gains"]) == ["scalars missforest"]
    assert "strokes: {kind: " in measured["schemas"]["scalars"]
    assert "| `strokes` | 0 % |" in done.stdout
