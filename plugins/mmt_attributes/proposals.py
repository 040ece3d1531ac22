"""How labels and numbers propose to read a table's columns."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmt_attributes.spellings import Spellings
from mmtoolkit import ColumnSummary, NumberModality, Proposal

_FEW, _MANY = 100, 1000  # classes that are written into the schema, and that a label may have
_CODES = 12  # the most whole numbers that may be names of classes rather than counts
_PLAINLY_CODES = 5
_ONE_VALUE = 0.95  # of the cells: the others are rare counts rather than classes
_EVEN = 0.85  # of the largest entropy: classes are more even than counts
_CLASS_NAMES = re.compile(
    r"(^|[\W_])(class|classe|label|target|category|type|group|kind|species|code|digit|cluster|segment)s?($|[\W_])", re.I
)
_ID_NAMES = re.compile(r"(^|[\W_])(ids?|uu?id|guid|index|idx|key|row|rownum|number|no|nr|num)($|[\W_])|^unnamed", re.I)
_CODE = re.compile(r"\s*0[0-9]+\s*")
_WITH_UNIT = re.compile(r"\W{0,2}[-+]?(?!0[0-9])[0-9]+(?:[ .,'’][0-9]+)*[^0-9A-Za-z]{0,3}[A-Za-zµ°%€$£²³/]{0,6}\.?\s*")
_SCALARS = (str, bool, int, float, Decimal)
_HEAVY = 10.0  # excess kurtosis, from which some numbers lie far out; a Gaussian has 0
_ROWS_FOR_TAILS = 50
_TOGETHER = 16  # numeric columns beyond which they are read by one modality
_COST, _COST_OF_CLASSES, _COST_OF_NUMBERS = 0.4, 0.001, 0.002


def label_proposal(column: ColumnSummary, spellings: Spellings) -> Proposal | None:
    """Few classes that come back.

    Args:
        column: what was seen.
        spellings: of its classes.
    """
    counts = {name: spelled.total() for name, spelled in spellings.classes.items()}
    classes = len(counts)
    if column.more or not 2 <= classes <= _MANY or not all(isinstance(cell, _SCALARS) for cell in column.cells):
        return None
    numbers = [_number(name) for name in counts]
    if any(number is not None and not number.is_integer() for number in numbers):
        return None
    if column.counted / classes < (2 if classes <= _PLAINLY_CODES else 5 if classes <= _FEW else 10):
        return None
    sure = 0.85 if classes <= _FEW else 0.65
    if all(number is not None for number in numbers):
        sure = _sure_of_codes(column.name, np.array(list(counts.values())))
    elif classes > _CODES and np.average([len(name.split()) for name in counts], weights=list(counts.values())) >= 2.5:
        sure = 0.55  # phrases
    most = sorted(counts.items(), key=lambda pair: -pair[1])[:4]
    shown = ", ".join(f"{column.example(name)} ({count})" for name, count in most) + (", …" if classes > 4 else "")
    about = "; ".join([f"{classes} classes: {shown}", *spellings.notes()])
    options = {"classes": list(counts)} if classes <= _FEW else {}
    return Proposal(sure, options, about, cost=_COST + _COST_OF_CLASSES * classes)


def _sure_of_codes(name: str, counts: NDArray[np.int64]) -> float:
    """Whether whole numbers are names of classes rather than counts."""
    classes, total = len(counts), counts.sum()
    if classes > _CODES or counts.max() > _ONE_VALUE * total:
        return 0.3
    if classes <= _PLAINLY_CODES or _CLASS_NAMES.search(name):
        return 0.75
    shares = counts / total
    return 0.75 if -(shares * np.log(shares)).sum() >= _EVEN * np.log(classes) else 0.5


def _number(cell: Any) -> float | None:
    """A finite number; None where it is none, such as the name Nan."""
    try:
        number = math.nan if isinstance(cell, bool) else float(cell)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def numeric_proposal(modality: NumberModality, column: ColumnSummary) -> Proposal | None:
    """Cells that read as numbers, a few of them perhaps not."""
    values, known = _values(modality, column)
    share = column.share(known.tolist())
    texts = column.texts
    if texts is not None and share < 0.5:
        return _to_be_mended(column, texts)
    distinct = len(set(values[known].tolist()))
    if share < 0.5 or distinct < 2:
        return None
    if texts is not None and column.share([bool(_CODE.fullmatch(text)) for text in texts]) > 0.01:
        return None  # a number would lose its zeros
    if why := _names_rows(column, values[known]):
        return Proposal(0.9, {}, why, use=False)
    about, options = column.examples(), {}
    if (~known).any():
        bad = next(cell for cell, good in zip(column.cells, known, strict=True) if not good)
        count = column.counted - sum(np.array(column.counts)[known].tolist())
        about += f"; {count} cells such as {column.example(bad)} are no numbers and count as missing"
    weights = np.array(column.counts)[known]
    if weights.sum() >= _ROWS_FOR_TAILS and _excess_kurtosis(values[known], weights) > _HEAVY:
        options["likelihood"] = "student_t"
        about += "; some lie far out"
    whole = bool((values[known] == np.round(values[known])).all())
    sure = 0.6 if whole and distinct <= _CODES else 0.8
    return Proposal(sure * share, options, about, cost=_COST)


def together_proposal(columns: Sequence[ColumnSummary], proposals: Sequence[Proposal]) -> Proposal | None:
    """One vector of many numbers: an expert that sees them side by side, and far fewer networks."""
    if len(columns) <= _TOGETHER:
        return None
    options: dict[str, Any] = {"columns": [column.name for column in columns]}
    if any("likelihood" in proposal.options for proposal in proposals):
        options["likelihood"] = "student_t"
    missing = sum(column.missing for column in columns) / max(sum(column.rows for column in columns), 1)
    about = f"{len(columns)} columns of numbers, {missing:.0%} of their cells missing, read side by side"
    return Proposal(0.8, options, about, cost=_COST + _COST_OF_NUMBERS * len(columns))


def _values(modality: NumberModality, column: ColumnSummary) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The distinct cells as numbers, and which read as one."""
    values, _ = modality.numbers(list(column.cells), 0)
    return values, ~np.isnan(values)


def _to_be_mended(column: ColumnSummary, texts: Sequence[str]) -> Proposal | None:
    if column.share([bool(_WITH_UNIT.fullmatch(text)) for text in texts]) < 0.8 or column.repeats > 10:
        return None
    about = (
        f"numbers with units, separators or a decimal comma: {column.examples(3)}; "
        "write them as 1200 and 3.5, and it can be used"
    )
    return Proposal(0.8, {}, about, use=False)


def _names_rows(column: ColumnSummary, values: NDArray[np.float64]) -> str:
    """Why numbers only name rows; empty where they say more."""
    if len(values) < 10 or column.repeats > 1 or (values != np.round(values)).any():
        return ""
    if np.ptp(values) < column.rows and not column.more:  # some of them missing, perhaps
        return "counts the rows"
    return "all different, as numbers that name rows are" if _ID_NAMES.search(column.name) else ""


def _excess_kurtosis(values: NDArray[np.float64], weights: NDArray[np.int64]) -> float:
    mean = np.average(values, weights=weights)
    scaled = (values - mean) / (np.abs(values - mean).max() or 1.0)  # no power overflows
    variance = np.average(scaled**2, weights=weights)
    return float(np.average(scaled**4, weights=weights) / variance**2 - 3) if variance > 0 else 0.0
