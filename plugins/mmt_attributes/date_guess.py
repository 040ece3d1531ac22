"""Which formats of dates and times the texts of a column may have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from mmt_attributes.date_format import DAYS, MONTHS, date_format

_MONTH_NAME = "|".join(name for month in MONTHS for name in (month, month[:3], month[:3].upper()))
_DAY_NAME = "|".join(name for day in DAYS for name in (day, day[:3]))
_SEPARATOR = r"[-/. ]"
# Each way to write a date: its pattern, and the formats that it may have; {s} is its separator.
_DATES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern, re.ASCII), formats)
    for pattern, formats in (
        (rf"\d{{4}}(?P<s>{_SEPARATOR})\d\d?(?P=s)\d\d?", ("%Y{s}%m{s}%d", "%Y{s}%-m{s}%-d")),
        (
            rf"\d\d?(?P<s>{_SEPARATOR})\d\d?(?P=s)\d{{4}}",
            ("%d{s}%m{s}%Y", "%m{s}%d{s}%Y", "%-d{s}%-m{s}%Y", "%-m{s}%-d{s}%Y"),
        ),
        (r"\d\d?(?P<s>[-/])\d\d?(?P=s)\d\d", ("%d{s}%m{s}%y", "%m{s}%d{s}%y", "%-d{s}%-m{s}%y", "%-m{s}%-d{s}%y")),
        (r"\d\d\.\d\d\.\d\d", ("%d.%m.%y", "%m.%d.%y")),
        (r"\d{8}", ("%Y%m%d",)),
        (r"\d{4}(?P<s>[-/])\d\d", ("%Y{s}%m",)),
        (r"\d\d(?P<s>[-/])\d{4}", ("%m{s}%Y",)),
        (rf"\d\d?(?P<s>[-/. ]?)(?:{_MONTH_NAME})(?P=s)\d{{4}}", ("%d{s}{b}{s}%Y", "%-d{s}{b}{s}%Y")),
        (rf"\d\d?(?P<s>[-/. ]?)(?:{_MONTH_NAME})(?P=s)\d\d", ("%d{s}{b}{s}%y", "%-d{s}{b}{s}%y")),
        (rf"\d\d?\. (?:{_MONTH_NAME}) \d{{4}}", ("%d. {b} %Y", "%-d. {b} %Y")),
        (rf"(?:{_MONTH_NAME}) \d\d? \d{{4}}", ("{b} %d %Y", "{b} %-d %Y")),
        (rf"(?:{_MONTH_NAME}) \d\d?, \d{{4}}", ("{b} %d, %Y", "{b} %-d, %Y")),
        (rf"(?:{_MONTH_NAME})(?P<s>[- ])\d{{4}}", ("{b}{s}%Y",)),
        (rf"(?:{_MONTH_NAME})(?P<s>-)\d\d", ("{b}{s}%y",)),
        (rf"\d{{4}}(?P<s>[- ]?)(?:{_MONTH_NAME})(?P=s)\d\d", ("%Y{s}{b}{s}%d",)),
    )
)
_TIMES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern, re.ASCII), formats)
    for pattern, formats in (
        (r"\d\d?:\d\d", ("%H:%M", "%-H:%M")),
        (r"\d\d?:\d\d:\d\d", ("%H:%M:%S", "%-H:%M:%S")),
        (r"\d\d?:\d\d:\d\d(?P<c>[.,])(?P<f>\d{1,9})", ("%H:%M:%S{c}%{n}f", "%-H:%M:%S{c}%{n}f")),
        (r"\d\d?:\d\d(?P<t> ?)(?P<p>[AaPp][Mm])", ("%I:%M{t}{p}", "%-I:%M{t}{p}")),
        (r"\d\d?:\d\d:\d\d(?P<t> ?)(?P<p>[AaPp][Mm])", ("%I:%M:%S{t}{p}", "%-I:%M:%S{t}{p}")),
        (r"\d\d?(?P<t> ?)(?P<p>[AaPp][Mm])", ("%I{t}{p}", "%-I{t}{p}")),
    )
)
_WEEKDAY = re.compile(rf"(?P<name>{_DAY_NAME})(?P<rest>,? )", re.ASCII)
_WITH_TIME = re.compile(
    r"(?:(?P<date>\S.*?)(?P<join>T|,? ))?"
    r"(?P<time>\d\d?(?::\d\d){1,2}(?:[.,]\d{1,9})?(?: ?[AaPp][Mm])?|\d\d? ?[AaPp][Mm])"
    r"(?P<space> ?)(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_COMPACT = re.compile(r"(?P<date>\d{8})(?P<join>[T ]?)(?P<time>\d{6}|\d{4})(?P<zone>Z)?", re.ASCII)
_LOOKED_AT = 64  # texts from which formats are guessed


def formats_of(text: str) -> list[str]:
    """The formats that a text may have, the usual ones first; none if it is no date or time that is known."""
    if match := _COMPACT.fullmatch(text):
        time = "%H%M%S" if len(match["time"]) == 6 else "%H%M"
        guesses = [f"%Y%m%d{match['join']}{time}{match['zone'] or ''}"]
    else:
        day = _WEEKDAY.match(text)
        before = "" if day is None else ("%a" if len(day["name"]) == 3 else "%A") + day["rest"]
        guesses = [before + guess for guess in _date_and_time(text[day.end() if day else 0 :])]
    return [guess for guess in guesses if date_format(guess).read(text) is not None]


def _date_and_time(text: str) -> list[str]:
    match = _WITH_TIME.fullmatch(text)
    if match is None:
        return _with_names(_matching(_DATES, text))
    dates = [""] if match["date"] is None else _with_names(_matching(_DATES, match["date"]))
    zone = match["zone"] or ""
    after = match["space"] + (("%:z" if ":" in zone else "%z") if zone[:1] in ("+", "-") else zone)
    return [
        day + (match["join"] or "") + hour + after for day, hour in product(dates, _matching(_TIMES, match["time"]))
    ]


def _matching(ways: Iterable[tuple[re.Pattern[str], tuple[str, ...]]], text: str) -> list[str]:
    formats: list[str] = []
    for pattern, own in ways:
        if match := pattern.fullmatch(text):
            groups = {name: value or "" for name, value in match.groupdict().items()}
            groups["n"] = str(len(groups.get("f", "")))
            groups["p"] = "%P" if groups.get("p", "").islower() else "%p"
            for name, value in groups.items():
                own = tuple(guess.replace(f"{{{name}}}", value) for guess in own)
            formats += own
    return formats


def _with_names(formats: Sequence[str]) -> list[str]:
    """The formats with each of the directives of a month's name."""
    names = ("%b", "%B", "%^b")
    return [guess.replace("{b}", name) for guess in formats for name in (names if "{b}" in guess else names[:1])]


@dataclass(frozen=True)
class Guess:
    """The formats that read most texts of a column.

    Attributes:
        formats: equally good ones; several if the texts leave open which of two numbers is the month.
        share: of the texts that they read.
    """

    formats: tuple[str, ...]
    share: float


def guess_format(
    texts: Mapping[str, int], wanted: Callable[[str], bool], is_iso: Callable[[str], bool]
) -> Guess | None:
    """The format of most texts; None if none is known. It is `iso` if that reads more texts than any other.

    Of formats that read equally many texts, those that differ in leading zeros alone are one: the one with zeros.

    Args:
        texts: distinct texts, and how often each occurs.
        wanted: whether a format will do.
        is_iso: whether a text is one of ISO 8601.
    """
    often = sorted(texts, key=lambda text: -texts[text])
    step = max(1, len(often) // _LOOKED_AT)
    candidates = dict.fromkeys(guess for text in often[::step][: 2 * _LOOKED_AT] for guess in formats_of(text.strip()))
    total = sum(texts.values())
    counts = {
        guess: sum(n for text, n in texts.items() if date_format(guess).read(text.strip()) is not None)
        for guess in candidates
        if wanted(guess)
    }
    most = max(counts.values(), default=0)
    iso = sum(n for text, n in texts.items() if is_iso(text.strip()))
    if iso > most:
        return Guess(("iso",), iso / total)
    if not most:
        return None
    best = [guess for guess in counts if counts[guess] == most]
    # May is its own short name.
    alike = {guess.replace("%-", "%").replace("%B", "%b"): guess for guess in reversed(_zeros_first(best))}
    formats = tuple(guess for guess in best if guess in alike.values())
    if all("%m." in guess or "%-m." in guess for guess in formats):
        formats = formats[:1]  # where points separate the numbers, the day comes first
    return Guess(formats, most / total)


def _zeros_first(formats: Sequence[str]) -> list[str]:
    return sorted(formats, key=lambda guess: guess.count("%-"))
