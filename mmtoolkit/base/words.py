"""Writes names, numbers and errors for the user, in one line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any

MOST_LISTED = 4
"""The most names that a label lists."""


def closest(word: str, words: Collection[str]) -> str | None:
    """The word that is closest to another, if one is close; `CROP` is close to `crop`."""
    folded = {other.casefold(): other for other in reversed(list(words))}
    exact, alike = get_close_matches(word, list(words), n=1), get_close_matches(word.casefold(), list(folded), n=1)
    return exact[0] if exact else folded[alike[0]] if alike else None


def did_you_mean(word: str, words: Collection[str]) -> str:
    """`; did you mean 'x'?` if one of the words is close, else nothing."""
    close = closest(word, words)
    return "" if close is None else f"; did you mean {close!r}?"


def one_line(text: str) -> str:
    """The text with one space for each run of spaces, tabs and line breaks."""
    return " ".join(text.split())


def shorten(text: str, most: int) -> str:
    """The text; if it has more than `most` characters, `…` replaces its end."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    """The text with escapes for characters that cannot be printed, such as a line break."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def error_text(error: BaseException) -> str:
    """The text of an error in one line of up to 300 characters; its class if it has no text."""
    return shorten(one_line(str(error)), 300) or type(error).__name__


def error_with_class(error: BaseException) -> str:
    """The class and text of an error, `ValueError: text`, in one line of up to 300 characters."""
    return shorten(f"{type(error).__name__}: {one_line(str(error))}", 300)


def listing(names: Sequence[str], most: int) -> str:
    """`a, b, c`; for more than `most` names, the first and a count, `a, b and 5 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def short_listing(names: Sequence[str], most: int = MOST_LISTED) -> str:
    """`a, b, c`, to fit a label; for more than `most` names, the first and the number of all, `a, b, … (7)`."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[: most - 1])}, … ({len(names)})"


def first_lines(lines: Sequence[str], most: int, more: str) -> list[str]:
    """The first `most` lines; if there are others, the line `more` follows."""
    return [*lines[:most], *([more] if len(lines) > most else [])]


def number(value: Any) -> str:
    """A value for a table: a float by `decimals`, an integer with commas, nothing for None, any other value as text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return decimals(value, value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def decimals(value: float, like: float) -> str:
    """A number with four decimals if another, such as its mean, is below ten, else with two."""
    return f"{value:.4f}" if abs(like) < 10 else f"{value:,.2f}"
