"""Words for the user."""

from __future__ import annotations

from difflib import get_close_matches


def did_you_mean(word: str, words: list[str] | tuple[str, ...]) -> str:
    """`; did you mean 'x'?` where a word is close, else nothing."""
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
