"""The modalities date and time: cells of every type, predictions in the column's own way, and around the clock."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from mmt_attributes import Date, TimeOfDay
from mmtoolkit import ColumnSummary

CELLS: dict[str, list[Any]] = {
    "iso": ["2024-05-01", "2023-01-31"],
    "german": ["01.05.2024", "31.01.2023"],
    "american": ["5/1/2024", "1/31/2023"],
    "names": ["May 1, 2024", "January 31, 2023"],
    "digits as text": ["20240501", "20230131"],
    "digits": [20240501, 20230131],
    "digits as floats": [20240501.0, 20230131.0],
    "dates": [date(2024, 5, 1), date(2023, 1, 31)],
    "datetimes": [datetime(2024, 5, 1, 7, 30), datetime(2023, 1, 31, 12)],
    "minutes": ["2024-05-01 07:30", "2023-01-31 12:05"],
    "fractions": ["2024-05-01T07:30:15.125", "2023-01-31T12:05:00.500"],
    "microseconds": ["2024-05-01T07:30:15.123457", "2023-01-31T12:05:00.000001"],
    "utc": ["2024-05-01T07:30:15Z", "2023-01-31T12:05:00Z"],
    "offset": ["2024-05-01T07:30:15+02:00", "2023-01-31T12:05:00+02:00"],
    "am and pm": ["5/1/2024 7:30 AM", "1/31/2023 12:05 PM"],
    "months": ["2024-05", "2023-01", "2020-12"],
    "timestamps": [pandas.Timestamp("2024-05-01 07:30"), pandas.Timestamp("2023-01-31")],
    "zoned": [
        datetime(2024, 5, 1, 7, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    ],
    "numpy": [np.datetime64("2024-05-01"), np.datetime64("2023-01-31")],
    "numpy seconds": [np.datetime64("2024-05-01T07:30:15"), np.datetime64("2023-01-31T00:00:00")],
}
TIMES: dict[str, list[Any]] = {
    "minutes": ["07:30", "23:45"],
    "unpadded": ["7:30", "23:45"],
    "seconds": ["07:30:15", "23:45:00"],
    "half": ["7:30 am", "11:45 pm"],
    "objects": [time(7, 30), time(23, 45)],
}


def summary(cells: list[Any], **more: Any) -> ColumnSummary:
    return ColumnSummary("x", len(cells), 0, tuple(cells), (1,) * len(cells), **more)


def filled_like(modality: Any, cells: list[Any], **more: Any) -> list[Any]:
    """The cells as predictions of themselves, in the way of a column that has them."""
    parsed = modality.parse_column(cells)
    assert parsed.faults == {}
    style = modality.style(summary(cells, **more))
    return [style(modality.cell(value)) for value in parsed.stored]


@pytest.mark.parametrize("cells", CELLS.values(), ids=CELLS)
def test_dates_are_written_back_as_they_were(cells: list[Any]) -> None:
    modality = Date().fit(iter([cells]))
    written = filled_like(modality, cells)
    assert written == cells
    assert [type(cell) for cell in written] == [type(cell) for cell in cells]
    assert modality.model_validate(modality.model_dump(mode="json")) == modality


@pytest.mark.parametrize("cells", TIMES.values(), ids=TIMES)
def test_times_are_written_back_as_they_were(cells: list[Any]) -> None:
    modality = TimeOfDay().fit(iter([cells]))
    assert filled_like(modality, cells) == cells


@pytest.mark.parametrize(
    "kind",
    [pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("us", "UTC")],
    ids=str,
)
def test_arrow_types(kind: pa.DataType) -> None:
    """Tables read such cells as ISO 8601, and cast texts to the type of the column."""
    days = pa.array([datetime(2024, 5, 1, tzinfo=UTC), datetime(2023, 1, 31, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    column = (days if getattr(kind, "tz", None) else days.cast(pa.timestamp("us"))).cast(kind)
    cells = [cell.isoformat() for cell in column.to_pylist()]
    written = filled_like(Date().fit(iter([cells])), cells, type=kind)
    assert pa.array(written).cast(kind).equals(column)


def test_a_table_of_another_format_gets_its_own() -> None:
    modality = Date().fit(iter([CELLS["german"]]))
    style = modality.style(summary(["2020-02-01", "2020-02-13"]))
    assert style("05.06.2024") == "2024-06-05"
    typed = modality.style(summary([date(2020, 2, 1)]))
    assert typed("05.06.2024") == date(2024, 6, 5)
    assert modality.style(summary([], text_format=True))("05.06.2024") == "05.06.2024"


def test_the_zone_of_most_cells_is_kept() -> None:
    cells = ["2024-05-01T00:30:00+02:00", "2024-06-01T01:30:00+02:00", "2024-01-01T00:30:00+01:00"]
    modality = Date().fit(iter([cells]))
    assert modality.style(summary(cells))(modality.cell(modality.parse("2024-05-01T00:30:00+00:00"))).endswith(
        "02:30:00+02:00"
    )


def test_what_a_column_resolves_is_learned() -> None:
    days = [f"2024-{month:02d}-{day:02d}" for month in range(1, 13) for day in (1, 9, 28)] + ["2025-01-09"]
    assert Date().fit(iter([days])).model_dump()["resolution"] == "day"
    assert Date().fit(iter([days])).cycles == ("year", "week")
    minutes = [f"{day} 10:{n:02d}" for n, day in enumerate(days)]
    fitted = Date().fit(iter([minutes]))
    assert (fitted.resolution, fitted.cycles) == ("minute", ("year", "week", "day"))
    assert Date().fit(iter([["2024-01", "2024-02", "2024-05"]])).resolution == "month"


def test_encoders_read_trend_and_cycles() -> None:
    modality = Date(format="iso", resolution="hour", cycles=("year", "week", "day"), mean=0.0, std=100.0)
    assert modality.form().shape == (7,)
    assert modality.condition_size == 7
    x = torch.tensor([50.25], dtype=torch.float64)
    angles = [2 * math.pi * 50.25 / length for length in (365.2425, 7.0, 1.0)]
    expected = [0.5025, *map(math.cos, angles), *map(math.sin, angles)]
    torch.testing.assert_close(modality.reader()(x), torch.tensor([expected], dtype=torch.float64))
    assert modality.encoder(5)(x).shape == (1, 5)


def test_day_or_month() -> None:
    cells = ["03/04/2024", "05/06/2024", "07/07/2024"]
    with pytest.raises(ValueError, match="'%d/%m/%Y' if 03/04/2024 is 3 April 2024, or format: '%m/%d/%Y'"):
        Date().fit(iter([cells]))
    proposal = Date.propose(summary(cells))
    assert proposal is not None
    assert not proposal.use
    assert "two meanings" in proposal.about
    fitted = Date(format="%m/%d/%Y").fit(iter([cells]))
    assert fitted.moment(float(fitted.parse(cells[0]))) == datetime(2024, 3, 4)
    assert Date.propose(summary([*cells, "31/12/2023"])).options == {"format": "%d/%m/%Y"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (["2024-05-01", "2024-05-09"], {"format": "%Y-%m-%d"}),
        ([20240501, 20240509], {"format": "%Y%m%d"}),
        ([1990, 1991, 2004], None),
        (["12.2024", "10.1999"], None),
        ([12345678, 87654321], None),
        (["07:30", "08:30"], None),
    ],
)
def test_proposals_of_dates(cells: list[Any], options: dict[str, str] | None) -> None:
    proposal = Date.propose(summary(cells))
    assert (None if proposal is None else proposal.options) == options


def test_proposals_of_times() -> None:
    proposal = TimeOfDay.propose(summary(["07:30", "18:05"]))
    assert proposal is not None
    assert proposal.options == {"format": "%H:%M"}
    assert "times of day: 07:30" in proposal.about
    assert TimeOfDay.propose(summary(["75:30", "18:05"])) is None


@pytest.mark.parametrize(
    ("modality", "cell", "fact"),
    [
        (Date(format="%d.%m.%Y"), "30.02.2024", "no date of the format %d.%m.%Y"),
        (Date(format="%d.%m.%Y"), True, "no date"),
        (Date(), time(8, 30), "use kind: time"),
        (TimeOfDay(), date(2024, 5, 1), "use kind: date"),
        (TimeOfDay(), "24:00", "no time of day"),
        (TimeOfDay(), time(8, tzinfo=UTC), "has a zone"),
    ],
)
def test_faults(modality: Any, cell: Any, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        modality.parse(cell)


@pytest.mark.parametrize("cell", [None, math.nan, np.datetime64("NaT"), pandas.NaT])
def test_what_is_missing(cell: Any) -> None:
    parsed = Date(format="iso").parse_column([cell, "2024-05-01"])
    assert parsed.present.tolist() == [False, True]
    assert parsed.faults == {}


def test_formats_are_checked() -> None:
    for cls, format in ((Date, "%H:%M"), (TimeOfDay, "%Y-%m-%d %H:%M"), (Date, "%Q"), (Date, "%Y")):
        with pytest.raises(ValidationError, match="format"):
            cls(format=format)
    with pytest.raises(ValidationError, match="numbers of a cycle"):
        TimeOfDay.model_validate({"likelihood": "gaussian"})


def test_errors_are_in_days_and_in_hours_around_the_clock() -> None:
    dates = Date().scores(torch.tensor([3.0]).double(), torch.tensor([1.0]).double())
    assert {name: score.tolist() for name, score in dates.items()} == {"squared_error": [4.0], "absolute_error": [2.0]}
    times = TimeOfDay().scores(torch.tensor([23.5, 6.0]).double(), torch.tensor([0.5, 18.0]).double())
    assert {name: score.tolist() for name, score in times.items()} == {
        "squared_error": [1.0, 144.0],
        "absolute_error": [1.0, 12.0],
    }


def test_the_mean_of_times_is_taken_around_the_clock() -> None:
    modality = TimeOfDay(format="%H:%M", resolution="minute")
    hours = torch.tensor([23.0, 1.0, 23.5, 0.5], dtype=torch.float64)
    assert modality.cell(modality.baseline(iter([hours[:1], hours[1:]]))) == "00:00"
    head = modality.likelihood.head(modality.form())
    angles = hours[:2] / 24 * 2 * math.pi
    raw = 5 * torch.stack([angles.cos(), angles.sin()], dim=1).unsqueeze(2)
    p = modality.joined(head(raw))
    assert [modality.cell(value) for value in modality.point(p)] == ["23:00", "01:00"]
    assert modality.cell(modality.pooled(p, 2)[0]) == "00:00"
    (std,) = modality.spread("t", p, 2)["t"]["std"].tolist()
    assert 1.0 < std < 2.0


def test_predictions_have_the_resolution() -> None:
    modality = Date(format="%Y-%m-%d", resolution="day", cycles=(), mean=0.0, std=1.0)
    p = modality.joined(torch.distributions.Normal(torch.tensor([[19844.4]]).double(), torch.ones(1, 1).double()))
    assert modality.point(p).tolist() == [19844.0]
    assert modality.cell(modality.point(p)[0]) == "2024-05-01"
