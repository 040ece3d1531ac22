"""Formats of dates: texts are read, written back letter by letter, and guessed from columns."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmt_attributes.clock import days_of, moment_of, resolution_of, rounded
from mmt_attributes.date_format import date_format
from mmt_attributes.date_guess import formats_of, guess_format

DATES = [
    "%Y-%m-%d",
    "%Y/%-m/%-d",
    "%d.%m.%Y",
    "%-d.%-m.%Y",
    "%m/%d/%Y",
    "%-m/%-d/%Y",
    "%d-%m-%y",
    "%Y%m%d",
    "%-d %B %Y",
    "%d-%b-%Y",
    "%d%^b%Y",
    "%b %-d, %Y",
    "%B %d, %Y",
    "%a, %d %b %Y",
]
TIMES = ["", " %H:%M", "T%H:%M:%S", " %-I:%M %p", " %I:%M:%S%P", " %H:%M:%S.%3f", "T%H:%M:%S.%6f", " %-H:%M"]
ZONES = ["", "Z", "%:z", " %z"]
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31))


@settings(max_examples=300, deadline=None)
@given(MOMENTS, st.sampled_from(DATES), st.sampled_from(TIMES), st.sampled_from(ZONES), st.integers(-12 * 60, 14 * 60))
def test_what_is_written_is_read_and_written_back(
    moment: datetime, date: str, time: str, zone: str, minutes: int
) -> None:
    text_format = date + time + (zone if time else "")
    if "z" in text_format:
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    format = date_format(text_format)
    text = format.write(moment)
    read = format.read(text)
    assert read is not None
    assert format.write(read) == text
    assert (read.year, read.month, read.day) == (moment.year, moment.month, moment.day)
    assert any(date_format(guess).read(text) == read for guess in formats_of(text)), text


@settings(max_examples=300, deadline=None)
@given(st.datetimes(datetime(1800, 1, 1), datetime(2140, 12, 31)))
def test_days_come_back_to_the_microsecond(moment: datetime) -> None:
    assert moment_of(days_of(moment)) == moment


@settings(max_examples=100, deadline=None)
@given(st.datetimes())
def test_days_of_all_years_come_back_to_the_millisecond(moment: datetime) -> None:
    assert abs(moment_of(days_of(moment)) - moment) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["01/02/2024", "03/04/2024"], ("%d/%m/%Y", "%m/%d/%Y")),
        (["01/02/2024", "13/04/2024"], ("%d/%m/%Y",)),
        (["1/2/2024", "11/24/2024"], ("%-m/%-d/%Y",)),
        (["01.02.2024", "03.04.2024"], ("%d.%m.%Y",)),
        (["2024-01-02", "2024-03-04"], ("%Y-%m-%d",)),
        (["May 5, 2024", "May 15, 2024"], ("%b %-d, %Y",)),
        (["5 May 2024", "6 June 2024"], ("%-d %B %Y",)),
        (["20240105", "20241231"], ("%Y%m%d",)),
        (["2024-01-02T03:04:05", "2024-01-02T03:04:05.250000"], ("iso",)),
        (["9:30", "10:15"], ("%-H:%M",)),
        (["9:30 pm", "10:15 am"], ("%-I:%M %P",)),
    ],
)
def test_columns(texts: list[str], formats: tuple[str, ...]) -> None:
    def is_iso(text: str) -> bool:
        try:
            return "-" in text[:5] and datetime.fromisoformat(text) is not None
        except ValueError:
            return False

    guess = guess_format(dict.fromkeys(texts, 1), lambda format: True, is_iso)
    assert guess is not None
    assert guess.formats == formats


@pytest.mark.parametrize("text", ["2024", "1.5", "12", "2024-02-30", "24:00", "Mon, 06 Feb 2024", "31/02/2024", "May"])
def test_what_is_no_date(text: str) -> None:
    assert formats_of(text) == []


@pytest.mark.parametrize("text", ["%Q", "%Y %y %Y"])
def test_formats_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"format|two directives"):
        _ = date_format(text).parts


def test_resolutions() -> None:
    import numpy as np

    def days(*texts: str) -> np.ndarray:
        return np.array([days_of(datetime.fromisoformat(text)) for text in texts])

    assert resolution_of(days("2024-01-01", "2020-01-01", "1999-01-01")) == "year"
    assert resolution_of(days("2024-05-01", "2020-01-01", "1999-01-01")) == "month"
    assert resolution_of(days("2024-05-02", "2020-01-01", "1999-01-01")) == "day"
    assert resolution_of(days("2024-05-02T03:00", "2020-01-01")) == "hour"
    assert resolution_of(days("2024-05-02T03:30")) == "minute"
    assert resolution_of(days("2024-05-02T03:30:05")) == "second"
    assert resolution_of(days("2024-05-02T03:30:05.125")) == "millisecond"
    assert resolution_of(days("2024-05-02T03:30:05.000125")) == "microsecond"
    near = rounded(days("2024-05-20T12:00", "2024-05-05"), "month")
    assert [moment_of(float(day)).date().isoformat() for day in near] == ["2024-06-01", "2024-05-01"]
    near = rounded(days("2024-12-31T23:59:40"), "minute")
    assert moment_of(float(near[0])) == datetime(2025, 1, 1)
