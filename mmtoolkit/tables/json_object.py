"""Replaces values in the text of a JSON object; every other character stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)  # numbers of any length
_BLANK = " \t\r\n"


def with_values(text: str, values: Mapping[str, str]) -> str:
    """Replace the values of some keys in the text of an object. Values are JSON; new keys come last.

    If a key occurs twice, both of its values are replaced.
    """
    parts, rest, new = [], 0, dict(values)
    last, empty = text.index("{") + 1, True
    for key, start, end in _spans(text):
        if key in values:
            parts += [text[rest:start], values[key]]
            rest = end
            new.pop(key, None)
        last, empty = end, False
    entries = ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {value}" for key, value in new.items())
    if entries:
        parts += [text[rest:last], entries if empty else f", {entries}"]
        rest = last
    return "".join([*parts, text[rest:]])


def _spans(text: str) -> Iterator[tuple[str, int, int]]:
    """(key, start, end) of each value of an object."""
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
