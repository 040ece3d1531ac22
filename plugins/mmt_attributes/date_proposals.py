"""How dates and times of day propose to read a table's columns."""

from __future__ import annotations

from collections import Counter
from datetime import date, time
from typing import Any

import numpy as np

from mmt_attributes.date_guess import guess_format
from mmt_attributes.moment import Moment, ambiguous, as_digits
from mmtoolkit import ColumnSummary, Proposal

_MOST_ODD = 0.05  # the share of cells that may be no dates
_FIRST_YEAR, _LAST_YEAR = 1800, 2200  # beyond them, what reads as dates is rather numbers and codes
_COST = 0.4


def moment_proposal(modality: Moment, column: ColumnSummary) -> Proposal | None:
    """Cells that are dates or times by their type, or by a format that nearly all of them have.

    Args:
        modality: with default options.
        column: what was seen.
    """
    texts: Counter[str] = Counter()
    typed = 0
    for cell, count in zip(column.cells, column.counts, strict=True):
        if isinstance(cell, (date, time, np.datetime64)):
            typed += count
        elif (text := as_digits(cell)) is not None:
            texts[text] += count
    guess = guess_format(texts, modality.holds, lambda text: modality.read_iso(text) is not None)
    reads = typed + (0 if guess is None else guess.share * texts.total())
    if reads < (1 - _MOST_ODD) * column.counted or not reads:
        return None
    formats = ("iso",) if guess is None else guess.formats
    if len(formats) > 1:
        return Proposal(0.95, {"format": formats[0]}, ambiguous(texts, formats), use=False)
    reader = modality.with_options(format=formats[0])
    values, _ = reader.numbers(list(column.cells), 0)
    known = values[~np.isnan(values)]
    if len(set(known.tolist())) < 2:
        return None
    first, last = (reader.moment(float(value)) for value in (known.min(), known.max()))
    if not _FIRST_YEAR <= first.year <= last.year <= _LAST_YEAR:
        return None
    about = f"{modality.plural}: {column.examples(3)}"
    options: dict[str, Any] = {} if formats[0] == "iso" else {"format": formats[0]}
    return Proposal(0.95, options, about, cost=_COST)
