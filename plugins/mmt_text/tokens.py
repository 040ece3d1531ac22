"""From cells to texts, and from texts to the symbols that they are made of."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

SymbolKind = Literal["characters", "words"]

UNKNOWN = "\ufffd"
"""What a symbol outside the alphabet is shown as: Unicode's replacement character."""

SINGULAR = {"characters": "character", "words": "word"}
_SHOWN = 40


def shown(cell: Any) -> str:
    """A cell in a message, cut where it is long."""
    text = repr(cell.item() if isinstance(cell, np.generic) else cell)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def text_of(cell: Any) -> str:
    """The text of a cell, in Unicode's normal form C; that of a number are its digits.

    Raises:
        ValueError: it is no text.
    """
    if isinstance(cell, str):
        text = str(cell)
    elif isinstance(cell, (int, float, np.integer, np.floating)) and not isinstance(cell, bool):
        if not isinstance(cell, int) and not math.isfinite(cell):
            raise ValueError(f"{shown(cell)} is no text; give text, or leave the cell empty")
        text = str(cell)
    else:
        raise ValueError(f"{shown(cell)} is no text but {type(cell).__name__}; give text or a number")
    if text.isascii():  # a third of the time for most
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{shown(text)} holds half of a surrogate pair, which is no character; mend it") from None
    return unicodedata.normalize("NFC", text)


def split(text: str, tokens: SymbolKind) -> Sequence[str]:
    """The symbols of a text: its characters (code points), or its words, which white space separates."""
    return text.split() if tokens == "words" else text


def join(symbols: Iterable[str], tokens: SymbolKind) -> str:
    """The text of symbols; one space stands between words."""
    return (" " if tokens == "words" else "").join(symbols)


def checked_alphabet(alphabet: Iterable[str], tokens: SymbolKind, unknown: bool) -> tuple[str, ...]:
    """An alphabet in normal form C.

    Raises:
        ValueError: it is empty, names a symbol twice, or holds what is no symbol.
    """
    symbols = tuple(unicodedata.normalize("NFC", symbol) for symbol in alphabet)
    if not symbols:
        raise ValueError("an alphabet needs a symbol or more; name them, or leave it out to learn it")
    for symbol in symbols:
        if tokens == "characters" and len(symbol) != 1:
            raise ValueError(f"{shown(symbol)} is no single character; mend the alphabet, or set tokens: words")
        if tokens == "words" and symbol.split() != [symbol]:
            raise ValueError(f"{shown(symbol)} is no single word; write each word alone, without spaces")
    if twice := [symbol for symbol, count in Counter(symbols).items() if count > 1]:
        raise ValueError(f"the symbol {shown(twice[0])} is named twice; name each once")
    if unknown and UNKNOWN in symbols:
        raise ValueError(f"{UNKNOWN!r} stands for unknown symbols; remove it from the alphabet, or set unknown: false")
    return symbols


def frequent(counts: Counter[str], limit: int) -> list[str]:
    """The most frequent symbols, at most `limit`, the first of the alphabet among equals."""
    return sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[:limit]
