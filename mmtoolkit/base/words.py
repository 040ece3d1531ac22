"""Words for the user: names, numbers and errors in one line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any


def did_you_mean(word: str, words: Collection[str]) -> str:
    """`; did you mean 'x'?` where a word is close, else nothing."""
    close = get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_line(text: str) -> str:
    """The text with single spaces for line breaks, tabs and runs of spaces."""
    return " ".join(text.split())


def shorten(text: str, most: int) -> str:
    """The text, its end replaced by `…` where it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    """The text with escapes for what cannot be printed, such as a line break."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def error_text(error: BaseException) -> str:
    """What an error says, in one line of up to 300 characters; its class where it says nothing."""
    return shorten(one_line(str(error)), 300) or type(error).__name__


def error_with_class(error: BaseException) -> str:
    """`ValueError: what it says`, in one line of up to 300 characters."""
    return shorten(f"{type(error).__name__}: {one_line(str(error))}", 300)


def listing(names: Sequence[str], most: int) -> str:
    """`a, b, c`; of more than `most` names the first and a count, `a, b and 5 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def short_listing(names: Sequence[str], most: int = 4) -> str:
    """`a, b, c`; of more than `most` names the first and how many they are, `a, b, … (7)`, which fits a label."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[: most - 1])}, … ({len(names)})"


def first_lines(lines: Sequence[str], most: int, more: str) -> list[str]:
    """The first `most` lines, and the line `more` after them where there are others."""
    return [*lines[:most], *([more] if len(lines) > most else [])]


def number(value: Any) -> str:
    """A value in a table: a float by `decimals`, an integer with commas, nothing for None, else its text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return decimals(value, value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def decimals(value: float, like: float) -> str:
    """A number with the decimals that suit another, such as its mean: four where that is below ten, else two."""
    return f"{value:.4f}" if abs(like) < 10 else f"{value:,.2f}"
