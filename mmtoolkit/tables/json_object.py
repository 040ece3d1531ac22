"""Finds and replaces values in the text of a JSON object; every other character stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from mmtoolkit.tables.gaps import in_place_of

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)  # numbers of any length
_BLANK = " \t\r\n"
_KEY = re.compile(r'"\s*:')


def with_values(text: str, values: Mapping[str, str]) -> str:
    """Replace the values of some keys in the text of an object. Values are JSON; new keys come last.

    Of a list with gaps, only the text of the gaps is replaced.
    """
    parts, rest, new = [], 0, dict(values)
    last, empty = text.index("{") + 1, True
    for key, start, end in _spans(text):
        if key in values:
            parts += [text[rest:start], in_place_of(text[start:end], values[key]) or values[key]]
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
    place = after_blanks(text, text.index("{") + 1)
    while text[place] == '"':
        key, place = scanstring(text, place + 1, False)
        start = after_blanks(text, after_blanks(text, place) + 1)  # past the colon
        _, end = _DECODER.raw_decode(text, start)
        yield key, start, end
        place = after_blanks(text, end)
        if text[place] == ",":
            place = after_blanks(text, place + 1)


def after_blanks(text: str, place: int) -> int:
    """The place of the first character from `place` on that is no blank; the end of the text if there is none."""
    while text[place : place + 1] in _BLANK and place < len(text):
        place += 1
    return place


def doubled_key(row: Mapping[str, Any], text: str) -> str | None:
    """A key that occurs twice in an object or in one within it; None if there is none.

    Args:
        row: the object.
        text: its text, and perhaps blanks or a comma around it.
    """
    # The text has at least as many of these as keys: if it has as many as the object, no key is lost.
    if text.count(":") == len(row) or len(_KEY.findall(text)) == _count_keys(row):
        return None
    doubled: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> None:
        keys = set()
        for key, _ in pairs:
            if key in keys:
                doubled.append(key)
            keys.add(key)

    decoder = json.JSONDecoder(parse_int=str, parse_float=str, strict=False, object_pairs_hook=check)
    decoder.raw_decode(text, text.index("{"))
    return doubled[0] if doubled else None


def _count_keys(value: Any) -> int:
    """The number of keys in a value and in those within it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = len(value) if isinstance(value, dict) else 0
    return own + sum(_count_keys(each) for each in inner if isinstance(each, (dict, list)))
