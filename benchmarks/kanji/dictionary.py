"""Characters of KANJIDIC, a dictionary of kanji, as rows of a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

DICTIONARY = Path("/usr/share/edict/kanjidic")
"""Where Debian's package `kanjidic` puts it."""

PICTURE, TEXTS = "picture", ("meaning", "reading")
"""The columns that are no scalars."""

_CORNERS = ("lid", "horizontal", "vertical", "dot", "cross", "skewer", "box", "angle", "eight", "small")
_PLACES = ("top_left", "top_right", "bottom_left", "bottom_right")
_MEANINGS = 4  # the first ones, as later ones are rarer senses
_RADICALS = 20
_FIELD = {
    "strokes": re.compile(r" S(\d+)"),  # further ones are common miscounts
    "frequency": re.compile(r" F(\d+)"),
    "jlpt": re.compile(r" J([1-4])"),
    "grade": re.compile(r" G(\d+)"),
    "radical": re.compile(r" B(\d+)"),
    "corners": re.compile(r" Q(\d{4})"),
    "reading": re.compile(r" ([ァ-ヶー]+) "),
}


@dataclass(frozen=True)
class Character:
    """A character and what the dictionary says of it; "" where it says nothing."""

    sign: str
    cells: dict[str, str]


def read_characters(path: Path) -> list[Character]:
    """All characters of a dictionary in the format of KANJIDIC, in its order.

    Raises:
        FileNotFoundError: it is not there; the message says what to install.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: there is no such file; install Debian's package kanjidic, or give --dictionary"
        )
    lines = path.read_text(encoding="euc-jp", errors="replace").splitlines()
    return [_character(line) for line in lines if line and not line.startswith("#")]


def _character(line: str) -> Character:
    def field(name: str) -> str:
        match = _FIELD[name].search(line)
        return match[1] if match else ""

    corners = field("corners")
    meanings = re.findall(r"\{(.*?)\}", line)[:_MEANINGS]
    cells = {
        "meaning": " ".join(re.findall("[a-z]+", " ".join(meanings).lower())),
        "reading": field("reading"),
        "strokes": field("strokes"),
        "frequency": field("frequency"),
        "jlpt": field("jlpt"),
        "grade": _school(field("grade")),
        "radical": field("radical"),
        **{place: _CORNERS[int(corners[k])] if corners else "" for k, place in enumerate(_PLACES)},
    }
    return Character(line[0], cells)


def _school(grade: str) -> str:
    """The year of primary school, `secondary`, or `names` for characters of names alone."""
    if not grade:
        return ""
    return f"year {grade}" if int(grade) <= 6 else "secondary" if grade == "8" else "names"


def draw_rows(characters: Sequence[Character], rows: int, seed: int) -> list[Character]:
    """Some characters, in the dictionary's order."""
    draw = np.random.default_rng(seed)
    places = np.sort(draw.permutation(len(characters))[:rows])
    return [characters[place] for place in places]


def frame_of(characters: Sequence[Character], pictures: Sequence[str]) -> pd.DataFrame:
    """A row for each character, with the path of its picture; missing cells are None.

    A radical that is not among the twenty most frequent ones is `other`.
    """
    frame = pd.DataFrame([character.cells for character in characters])
    common = {radical for radical, _ in Counter(frame["radical"]).most_common(_RADICALS)}
    frame["radical"] = [f"radical {r}" if r in common else "other" for r in frame["radical"]]
    frame.insert(0, PICTURE, list(pictures))
    return frame.mask(frame == "", None)
