"""How texts propose to read a table's column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mmt_text.tokens import SymbolKind, split, text_of
from mmtoolkit import ColumnSummary, Proposal

_DATE = re.compile(
    r"\s*(\d{4}([-/]\d{1,2}|[-/.]\d{1,2}[-/.]\d{1,2})"
    r"|\d{4}-?W\d{2}(-?[1-7])?"  # a week
    r"|\d{1,2}(\.|st|nd|rd|th)?[- ]+[^\W\d_]{3,9}\.?,?[- ]+\d{4}"  # such as 5 Feb 2024 and 5. Mai 2024
    r"|[^\W\d_]{3,9}\.? \d{1,2}(st|nd|rd|th)?,? \d{4}"  # such as February 5, 2024
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})?([T ]?\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?"
    r"\s*(Z|UTC|[-+]\d{2}:?\d{2}|[AP]M)?\s*",
    re.I,
)
_ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]*://\S+|www\.\S+|[^@\s]+@[^@\s]+\.[a-z]+)\s*", re.I)
_LONGEST = {"characters": 40, "words": 24}
_HUGE = 300  # characters on average
_WORDS = 2.5  # on average, from which a symbol is a word
_KNOWN_WORDS = 0.6  # the share of words that come back, from which there is something to learn
_LEAST = 3  # times that a word comes back
_ENOUGH = 20  # cells, from which it is plain that all are different
_COST, _COST_OF_SYMBOL = 0.5, 0.18


def text_proposal(column: ColumnSummary) -> Proposal | None:
    """Short texts of words or characters that come back."""
    if column.texts is None:
        return None
    try:
        texts = [text_of(text) for text in column.texts]
    except ValueError:
        return None
    counts = np.array(column.counts)
    for pattern, share, what in (
        (_DATE, 0.9, "dates or times: {}; numbers such as a year or a month can be used"),
        (_ADDRESS, 0.9, "addresses: {}"),
    ):
        if column.share([bool(pattern.fullmatch(text)) for text in texts]) >= share:
            return _left_out(column, texts, "characters", what.format(column.examples(2)), 0.9)
    words = [len(text.split()) for text in texts]
    tokens: SymbolKind = "words" if np.average(words, weights=counts) >= _WORDS else "characters"
    average = float(np.average([len(text) for text in texts], weights=counts))
    if average > _HUGE:
        about = f"long texts, {average:.0f} characters on average; shorten them, such as to a title, to use it"
        return _left_out(column, texts, "words", about, 0.7)
    enough = column.counted >= _ENOUGH
    if enough and tokens == "characters" and column.repeats < 1.1:
        return _left_out(column, texts, tokens, f"nearly all different, as names are: {column.examples(3)}", 0.7)
    options = _sizes(texts, counts, tokens, _LONGEST[tokens])
    if tokens == "words":
        often: Counter[str] = Counter()
        for text, count in zip(texts, counts.tolist(), strict=True):
            often.update(dict.fromkeys(text.split(), count))
        back = column.share([_half(often[word] >= _LEAST for word in text.split()) for text in texts])
        if enough and back < _KNOWN_WORDS:
            return _left_out(column, texts, tokens, f"few of its words come back: {column.examples(2)}", 0.7)
        options["vocabulary_size"] = max(sum(count >= (_LEAST if enough else 1) for count in often.values()), 1)
    return Proposal(0.6, options, f"texts: {column.examples(3)}", cost=_COST + _COST_OF_SYMBOL * options["length"])


def _half(flags: Iterable[bool]) -> bool:
    """Whether half of them are set, of none too."""
    found = list(flags)
    return 2 * sum(found) >= len(found)


def _sizes(texts: Sequence[str], counts: Any, tokens: SymbolKind, most: int) -> dict[str, Any]:
    """A length, of `most` symbols, that all but a few texts keep to."""
    lengths = np.array([len(split(text, tokens)) for text in texts])
    order = np.argsort(lengths)
    place = np.searchsorted(counts[order].cumsum(), 0.98 * counts.sum())
    usual, longest = int(lengths[order][place]), int(lengths.max())
    length = longest if longest <= 1.5 * usual else usual
    return {"length": max(1, min(length, most)), "tokens": tokens}


def _left_out(column: ColumnSummary, texts: Sequence[str], tokens: SymbolKind, about: str, sure: float) -> Proposal:
    sizes = _sizes(texts, np.array(column.counts), tokens, most=max(map(len, texts)))
    return Proposal(sure, sizes, about, use=False)
