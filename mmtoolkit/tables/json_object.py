"""A JSON object changed in some of its keys, every other character of its text as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)  # numbers of any length
_BLANK = " \t\r\n"


def with_values(text: str, values: Mapping[str, str]) -> str:
    """The text of an object with the values of some keys replaced, each given as JSON; keys that it lacks come last.

    A key that stands twice is replaced each time.
    """
    parts, copied, left = [], 0, dict(values)
    last, empty = text.index("{") + 1, True
    for key, start, end in _spans(text):
        if key in values:
            parts += [text[copied:start], values[key]]
            copied = end
            left.pop(key, None)
        last, empty = end, False
    added = ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {value}" for key, value in left.items())
    if added:
        parts += [text[copied:last], added if empty else f", {added}"]
        copied = last
    return "".join([*parts, text[copied:]])


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    """Each key of an object with where its value begins and ends."""
    place = _after_blanks(text, text.index("{") + 1)
    while text[place] == '"':
        key, place = scanstring(text, place + 1, False)
        start = _after_blanks(text, _after_blanks(text, place) + 1)  # past the colon
        _, end = _DECODER.raw_decode(text, start)
        yield key, start, end
        place = _after_blanks(text, end)
        if text[place] == ",":
            place = _after_blanks(text, place + 1)


def _after_blanks(text: str, place: int) -> int:
    while text[place] in _BLANK:
        place += 1
    return place
