"""How labels and numbers propose to read a table's columns."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmt_attributes.spellings import Spellings, misspelt
from mmtoolkit import ColumnSummary, Marks, NumberModality, Proposal

_FEW, _MANY = 100, 1000  # classes that are written into the schema, and that a label may have
_REPEATED = 10  # how often phrases come back that are certainly classes
_CODES = 12  # the most numbers that may be classes
_PLAINLY_CODES = 5
_ONE_VALUE = 0.95  # of the cells: the others are rare counts rather than classes
_ID_NAMES = re.compile(r"(^|[\W_])(ids?|uu?id|guid|index|idx|key|row|rownum|number|no|nr|num)($|[\W_])|^unnamed", re.I)
_MOST_ODD = 0.01  # the share of codes from which a column has no numbers
_FEWEST_COUNTS, _LEAST_ZEROS, _LARGEST_MEAN, _SKEWED = 4, 0.02, 1000.0, 0.5
_LONGEST = 15  # digits of a whole number that a float64 certainly holds
_WITH_UNIT = re.compile(
    r"(?=.*[^\s0-9.,'’+-])\W{0,2}[-+]?(?!0[0-9])[0-9]+(?:[ .,'’][0-9]+)*[^0-9A-Za-z]{0,3}[A-Za-zµ°%€$£²³/]{0,6}\.?\s*"
)
_SCALARS = (str, bool, int, float, Decimal)
_HEAVY = 10.0  # excess kurtosis, from which some numbers lie far out; a Gaussian has 0
_ROWS_FOR_TAILS = 50
_COST, _COST_OF_CLASSES = 0.4, 0.001


def label_proposal(column: ColumnSummary, spellings: Spellings) -> Proposal | None:
    """Few classes that come back; codes that are no numbers are left out if they do not.

    Args:
        column: what was seen.
        spellings: of its classes.
    """
    why = _names_things(column)
    proposal = _few_classes(column, spellings, codes=bool(why))
    if proposal is None and why:
        return Proposal(0.75, {}, f"{why}; as classes, too few of them come back", use=False)
    return proposal


def _few_classes(column: ColumnSummary, spellings: Spellings, codes: bool) -> Proposal | None:
    counts = {name: spelled.total() for name, spelled in spellings.classes.items()}
    classes = len(counts)
    if column.more or not 2 <= classes <= _MANY or not all(isinstance(cell, _SCALARS) for cell in column.cells):
        return None
    numbers = [_number(name, column.marks) for name in counts]
    fractions = any(number is not None and not number.is_integer() for number in numbers)
    if not codes and fractions and classes > _CODES:
        return None
    least = 2 if classes <= (_FEW if codes else _PLAINLY_CODES) else 5 if classes <= _FEW else 10
    if column.counted / classes < least:
        return None
    sure = 0.85 if classes <= _FEW else 0.65
    if not codes and all(number is not None for number in numbers):
        sure = _sure_of_codes(np.array(list(counts.values())))
    elif classes > _CODES and column.counted / classes < _REPEATED:
        words = np.average([len(name.split()) for name in counts], weights=list(counts.values()))
        sure = 0.55 if words >= 2.5 else sure  # phrases
    most = sorted(counts.items(), key=lambda pair: -pair[1])[:4]
    shown = ", ".join(f"{column.example(name)} ({count})" for name, count in most) + (", …" if classes > 4 else "")
    about = "; ".join([f"{classes} classes: {shown}", *spellings.notes()])
    options = {"classes": list(counts)} if classes <= _FEW else {}
    return Proposal(sure, options, about, cost=_COST + _COST_OF_CLASSES * classes, remarks=misspelt(counts))


def _sure_of_codes(counts: NDArray[np.int64]) -> float:
    """Whether numbers are read as classes: few of them, that come back.

    Even if they are marks or counts, a cell is then filled with the most probable of the column's numbers, where a mean
    such as 1.7 is none of them.
    """
    return 0.3 if len(counts) > _CODES or counts.max() > _ONE_VALUE * counts.sum() else 0.75


def _names_things(column: ColumnSummary) -> str:
    """Why whole numbers are codes that name things; empty if they are numbers."""
    marks = marks_of(column)
    wholes = [_whole_digits(cell, marks) for cell in column.cells]
    for codes, what in (
        ([len(whole) > 1 and whole.startswith("0") for whole in wholes], "begin with zeros"),
        ([len(whole) > _LONGEST for whole in wholes], f"have more than {_LONGEST} digits"),
    ):
        if column.share(codes) > _MOST_ODD:
            first = next(cell for cell, code in zip(column.cells, codes, strict=True) if code)
            return f"codes that {what}, such as {column.example(first)}: as numbers they would lose digits"
    return ""


def _whole_digits(cell: Any, marks: Marks) -> str:
    """The digits before the decimal mark, without marks between thousands; empty if the cell is no such number."""
    if isinstance(cell, str):
        whole, _, exponent = marks.parts(cell) or ("", "", "")
        return "" if exponent else "".join(filter(str.isdigit, whole))
    return str(abs(cell)) if isinstance(cell, int) and not isinstance(cell, bool) else ""


def _number(cell: Any, marks: Sequence[Marks] = ()) -> float | None:
    """A finite number; None where it is none, such as the name Nan."""
    text = marks[0].plain(cell) if marks and isinstance(cell, str) else None
    try:
        number = math.nan if isinstance(cell, bool) else float(cell if text is None else text)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def numeric_proposal(modality: NumberModality, column: ColumnSummary, marks: Marks) -> Proposal | None:
    """Cells that read as numbers, a few of them perhaps not.

    Args:
        modality: reads the cells.
        column: what was seen.
        marks: the marks that the modality reads in texts.
    """
    values, known = _values(modality, column)
    share = column.share(known.tolist())
    texts = column.texts
    if texts is not None and share < 0.5:
        return _to_be_mended(column, texts)
    distinct = len(set(values[known].tolist()))
    if share < 0.5 or distinct < 2 or _names_things(column):
        return None
    if why := _names_rows(column, values[known]):
        return Proposal(0.9, {}, why, use=False)
    weights = np.array(column.counts)[known]
    if len(column.marks) > 1:
        return Proposal(0.9, {}, _open(column), use=False)
    about, options = "; ".join([column.examples(), *_words_on(column, marks)]), _options_of([marks])
    remarks = []
    if weights.sum() >= _ROWS_FOR_TAILS and _excess_kurtosis(values[known], weights) > _HEAVY:
        options["likelihood"] = "student_t"
        farthest = int(np.nanargmax(np.abs(values - np.average(values[known], weights=weights))))
        remarks = [f"some lie far out, such as {column.example(column.cells[farthest])}"]
    sure = 0.6 if distinct <= _CODES else 0.8  # few numbers that come back are classes
    return Proposal(sure * share, options, about, cost=_COST, remarks=remarks)


def count_proposal(modality: NumberModality, column: ColumnSummary, marks: Marks) -> Proposal | None:
    """Whole numbers from 0 on that look as if somebody had counted.

    All that this asks for holds of counts of what is rare, and seldom of measurements in whole numbers or of codes:
    0 occurs and no number is below it; a few are far larger than most, so that the distribution leans to the right;
    and the variance is above the mean, as where events come in clusters, and above its square, so that logarithms tell
    more than the numbers do. Where it fails, `numeric` reads the numbers: of cigarettes a day, with a mean of 14 and a
    standard deviation of 9, it filled in two fifths less wrongly.
    A few distinct numbers may be codes: there `label` is as sure, or surer.

    Args:
        modality: reads the cells.
        column: what was seen.
        marks: the marks that the modality reads in texts.
    """
    values, known = _values(modality, column)
    counts = np.array(column.counts)[known]
    if not known.all() or len(counts) < _FEWEST_COUNTS or len(column.marks) > 1 or _names_things(column):
        return None
    mean = np.average(values, weights=counts)
    variance = np.average((values - mean) ** 2, weights=counts)
    skewness = np.average((values - mean) ** 3, weights=counts) / max(variance, 1e-300) ** 1.5
    zeros = counts[values == 0].sum() / counts.sum()
    if (values < 0).any() or zeros < _LEAST_ZEROS or mean > _LARGEST_MEAN or skewness < _SKEWED:
        return None
    if variance < max(mean, mean**2):
        return None
    seen = f"counts: {column.examples()}; {zeros:.0%} are 0, and {mean:.3g} is the mean"
    about = "; ".join([seen, *_words_on(column, marks)])
    return Proposal(0.85 if len(counts) > _CODES else 0.7, _options_of([marks]), about, cost=_COST)


def marks_of(column: ColumnSummary) -> Marks:
    """The marks that the numbers of a column have, or the first of those that they may have."""
    return column.marks[0] if column.marks else Marks()


def _options_of(marks: Sequence[Marks]) -> dict[str, Any]:
    """The options for columns with these marks that are not the default: one for all if they agree, else one each."""
    options: dict[str, Any] = {}
    for name in ("decimal", "thousands"):
        values: list[str | None] = [getattr(m, name) for m in marks]
        if set(values) != {getattr(Marks(), name)}:
            options[name] = values[0] if len(set(values)) == 1 else values
    return options


def _words_on(column: ColumnSummary, marks: Marks) -> list[str]:
    """What a comment says of marks that are not usual and that the column has; other columns may have told them."""
    seen = any(isinstance(cell, str) and marks.decimal in cell for cell in column.cells)
    decimal = [f"{marks.decimal!r} is the decimal mark"] if seen and marks.decimal != Marks().decimal else []
    return decimal if marks.thousands is None else [*decimal, f"{marks.thousands!r} stands between thousands"]


def _open(column: ColumnSummary) -> str:
    """Why the marks of a column stay open, and the options to choose from."""
    meanings = {cell: [marks.plain(cell) for marks in column.marks] for cell in column.cells if isinstance(cell, str)}
    example = next((cell for cell, plain in meanings.items() if len(set(plain)) > 1), next(iter(meanings)))
    choices = [
        f"{{kind: numeric, decimal: '{marks.decimal}', thousands: {_quoted(marks.thousands)}}} if it is "
        f"{'no number' if plain is None else f'{float(plain):.15g}'}"
        for marks, plain in zip(column.marks, meanings[example], strict=True)
    ]
    return f"{column.examples(3)}: {example} has two meanings; write {', or '.join(choices)}"


def _quoted(mark: str | None) -> str:
    if mark is None:
        return "null"
    return f'"{mark}"' if mark == "'" else f"'{mark}'"


def _values(modality: NumberModality, column: ColumnSummary) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The distinct cells as numbers, and which read as one."""
    values, _ = modality.numbers(list(column.cells), 0)
    return values, ~np.isnan(values)


def _to_be_mended(column: ColumnSummary, texts: Sequence[str]) -> Proposal | None:
    if column.share([bool(_WITH_UNIT.fullmatch(text)) for text in texts]) < 0.8 or column.repeats > 10:
        return None
    about = f"numbers with units: {column.examples(3)}; write the numbers alone, as 1200 or 3.5, and it can be used"
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
