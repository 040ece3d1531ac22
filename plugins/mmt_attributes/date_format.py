"""Formats of dates and times as text: like those of `strptime`, in English whatever the locale, and exact both ways."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cached_property, lru_cache

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
EPOCH = datetime(1970, 1, 1)
_PIVOT = 69  # two digits from here on are of the 20th century, as POSIX has it
_DIRECTIVE = re.compile(r"%(:z|\^b|-[dmHI]|[1-9]f|[A-Za-z%])")
_OFFSET = r"[+-]\d\d{}\d\d(?:{}\d\d)?"


def _names(names: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, names))


_SHORT_MONTHS, _SHORT_DAYS = tuple(m[:3] for m in MONTHS), tuple(d[:3] for d in DAYS)
_PATTERNS = {
    "Y": ("year", r"\d{4}"),
    "y": ("short_year", r"\d\d"),
    "m": ("month", r"\d\d"),
    "-m": ("month", r"[1-9]\d?"),
    "B": ("month_name", _names(MONTHS)),
    "b": ("month_name", _names(_SHORT_MONTHS)),
    "^b": ("month_name", _names(tuple(m.upper() for m in _SHORT_MONTHS))),
    "d": ("day", r"\d\d"),
    "-d": ("day", r"[1-9]\d?"),
    "A": ("weekday", _names(DAYS)),
    "a": ("weekday", _names(_SHORT_DAYS)),
    "H": ("hour", r"\d\d"),
    "-H": ("hour", r"\d|[1-9]\d"),
    "I": ("half", r"\d\d"),
    "-I": ("half", r"[1-9]\d?"),
    "M": ("minute", r"\d\d"),
    "S": ("second", r"\d\d"),
    "p": ("noon", "AM|PM"),
    "P": ("noon", "am|pm"),
    "z": ("zone", _OFFSET.format("", "")),
    ":z": ("zone", _OFFSET.format(":", ":")),
    **{f"{digits}f": ("fraction", rf"\d{{{digits}}}") for digits in range(1, 10)},
    "f": ("fraction", r"\d{6}"),
}
_DATE_PARTS = {"year", "short_year", "month", "month_name", "day", "weekday"}


@dataclass(frozen=True)
class DateFormat:
    """A format of dates and times as text.

    Attributes:
        text: the format, with the directives %Y %y %m %B %b %d %A %a %H %I %M %S %f %p %z of `strptime`; besides %-m
            %-d %-H %-I for numbers without a leading zero, %^b for JAN, %P for am and pm, %3f for a fraction of three
            digits (1 to 9), and %:z for +01:00.
    """

    text: str

    @cached_property
    def parts(self) -> frozenset[str]:
        """What its directives stand for, such as `year` and `hour`.

        Raises:
            ValueError: a directive is not known, or one stands for what another has already said.
        """
        letters = [directive[1] for directive in self._directives]
        names = [_PATTERNS[letter][0] if letter in _PATTERNS else letter for letter in letters]
        for directive, name in zip(self._directives, names, strict=True):
            if directive[1] != "%" and directive[1] not in _PATTERNS:
                raise ValueError(f"{self.text!r} has {directive[0]}, which no format has; use %Y, %m, %d, %H, %M, …")
            if directive[1] != "%" and names.count(name) > 1:
                raise ValueError(f"{self.text!r} has two directives for one part, such as {directive[0]}; keep one")
        return frozenset(names) - {"%"}

    @property
    def has_date(self) -> bool:
        """Whether it gives a year and a month."""
        return bool(self.parts & {"year", "short_year"}) and bool(self.parts & {"month", "month_name"})

    @property
    def has_time(self) -> bool:
        """Whether it gives the hour."""
        return "hour" in self.parts or {"half", "noon"} <= self.parts

    @property
    def has_date_parts(self) -> bool:
        """Whether it says anything of the day."""
        return bool(self.parts & _DATE_PARTS)

    @property
    def _directives(self) -> list[re.Match[str]]:
        return list(_DIRECTIVE.finditer(self.text))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """A pattern of the texts of this format."""
        pattern, end = "", 0
        for directive in self._directives:
            pattern += re.escape(self.text[end : directive.start()])
            pattern += "%" if directive[1] == "%" else "(?P<{}>{})".format(*_PATTERNS[directive[1]])
            end = directive.end()
        return re.compile(pattern + re.escape(self.text[end:]), re.ASCII)

    def read(self, text: str) -> datetime | None:
        """The time of a text of this format; None for any other text.

        Without a zone it is naive; with one it has it. Without a day it is the first of the month, without a date the
        first of 1970. Digits beyond the microsecond are left out.
        """
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        parts = match.groupdict()
        try:
            moment = datetime(
                _year(parts), _month(parts), int(parts.get("day") or 1), _hour(parts), int(parts.get("minute") or 0),
                int(parts.get("second") or 0), int((parts.get("fraction") or "0").ljust(6, "0")[:6]), _zone(parts),
            )  # fmt: skip
        except ValueError:  # such as 30 February
            return None
        return moment if "weekday" not in parts or DAYS[moment.weekday()].startswith(parts["weekday"]) else None

    def write(self, moment: datetime) -> str:
        """A time as text. One with a zone is written in this zone; %z of a naive one is +0000."""
        return _DIRECTIVE.sub(lambda directive: _written(directive[1], moment), self.text)

    def in_zone(self, zone: tzinfo | None) -> Callable[[datetime], str]:
        """A function that writes times in UTC in a zone; with None, times as they are."""
        if zone is None:
            return self.write
        return lambda moment: self.write(_moved(moment, zone))


@lru_cache(maxsize=256)
def date_format(text: str) -> DateFormat:
    """The format of this text, whose pattern is compiled once."""
    return DateFormat(text)


def _year(parts: dict[str, str]) -> int:
    if "short_year" in parts:
        year = int(parts["short_year"])
        return year + (1900 if year >= _PIVOT else 2000)
    return int(parts.get("year") or EPOCH.year)


def _month(parts: dict[str, str]) -> int:
    if "month_name" in parts:
        return _SHORT_MONTHS.index(parts["month_name"][:3].capitalize()) + 1
    return int(parts.get("month") or 1)


def _hour(parts: dict[str, str]) -> int:
    if "half" not in parts:
        return int(parts.get("hour") or 0)
    half = int(parts["half"])
    if not 1 <= half <= 12:
        raise ValueError(half)
    return half % 12 + (12 if parts.get("noon", "am").lower() == "pm" else 0)


def _zone(parts: dict[str, str]) -> timezone | None:
    if "zone" not in parts:
        return None
    sign, digits = parts["zone"][0], parts["zone"][1:].replace(":", "").ljust(6, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:]))
    return timezone(-offset if sign == "-" else offset)


def _written(directive: str, moment: datetime) -> str:
    match directive:
        case "Y":
            return f"{moment.year:04}"
        case "y":
            return f"{moment.year % 100:02}"
        case "m" | "d" | "H" | "M" | "S":
            number = {"m": moment.month, "d": moment.day, "H": moment.hour, "M": moment.minute, "S": moment.second}
            return f"{number[directive]:02}"
        case "-m" | "-d" | "-H":
            return str({"-m": moment.month, "-d": moment.day, "-H": moment.hour}[directive])
        case "I" | "-I":
            half = (moment.hour - 1) % 12 + 1
            return f"{half:02}" if directive == "I" else str(half)
        case "p" | "P":
            noon = "PM" if moment.hour >= 12 else "AM"
            return noon if directive == "p" else noon.lower()
        case "B" | "b" | "^b":
            name = MONTHS[moment.month - 1]
            return name if directive == "B" else name[:3] if directive == "b" else name[:3].upper()
        case "A" | "a":
            return DAYS[moment.weekday()][: None if directive == "A" else 3]
        case "z" | ":z":
            return _offset(moment, ":" if directive == ":z" else "")
        case "%":
            return "%"
    digits = 6 if directive == "f" else int(directive[0])
    return f"{moment.microsecond:06}"[:digits].ljust(digits, "0")


def _moved(moment: datetime, zone: tzinfo) -> datetime:
    try:
        return moment.replace(tzinfo=UTC).astimezone(zone)
    except OverflowError:  # before the year 1 or after 9999
        return moment.replace(tzinfo=zone)


def _offset(moment: datetime, colon: str) -> str:
    offset = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).utcoffset() or timedelta(0)
    sign = "-" if offset < timedelta(0) else "+"
    hours, rest = divmod(int(abs(offset).total_seconds()), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{sign}{hours:02}{colon}{minutes:02}" + (f"{colon}{seconds:02}" if seconds else "")
