"""The base class of modalities whose cells are dates or times, in texts or in a type of their own."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import field_validator
from torch import Tensor
from torch.distributions import Distribution

from mmt_attributes.classes import counted, shown
from mmt_attributes.clock import Resolution, resolution_of, rounded
from mmt_attributes.date_format import date_format
from mmt_attributes.date_guess import guess_format
from mmt_attributes.date_style import is_temporal, like_type, typed_writer
from mmt_attributes.standardised import Measured
from mmtoolkit import Cells, ColumnSummary, Form, Numbers, parameters_of

ISO = "iso"
"""The format of texts as in ISO 8601, such as 2024-05-01T12:30:00, whose seconds, fraction and zone may be left out."""


class Moment(Measured):
    """The base class of modalities of dates or times: single numbers, to a resolution that is learned."""

    gives: ClassVar[type[Form]] = Numbers
    columns: ClassVar[None] = None  # type: ignore[misc]  # it is one number, so this is no option
    noun: ClassVar[str]
    """A cell in an error, such as `date`."""
    plural: ClassVar[str]
    """Several."""
    example: ClassVar[str]
    """A cell that one may write."""
    unit: ClassVar[str]
    """What a value counts."""

    format: str | None = None
    """How texts are written, as for Python's `strptime`: `%d.%m.%Y`, `%m/%d/%Y %I:%M %p`, `%Y%m%d` (also for whole
    numbers). Besides, %-d, %-m, %-H and %-I have no leading zero, %3f is a fraction of three digits (1 to 9), %:z a
    zone such as +01:00, %^b a month such as JAN and %P is am or pm; names are English. `iso` reads ISO 8601. By default
    learned."""
    resolution: Literal["year", "month", "day", "hour", "minute", "second", "millisecond", "microsecond"] | None = None
    """How finely predictions are written. By default learned: the coarsest that loses nothing of the training cells."""

    @field_validator("format")
    @classmethod
    def _format_is_known(cls, text: str | None) -> str | None:
        if text is None or text == ISO:
            return text
        if not cls.holds(text):
            raise ValueError(f"{text!r} is no format of a {cls.noun}; write one such as {cls.usual_format!r}")
        return text

    usual_format: ClassVar[str]
    """A format that one may write."""

    @classmethod
    @abstractmethod
    def holds(cls, format: str) -> bool:
        """Whether texts of a format say all that a value needs.

        Raises:
            ValueError: it is no format; the message states the fault.
        """

    @abstractmethod
    def value_of(self, cell: datetime | date | time) -> float:
        """The number of a time; a text is read as a datetime, on 1 January 1970 if it has no date.

        Raises:
            ValueError: it says too little, or too much.
        """

    @abstractmethod
    def moment(self, value: float) -> datetime:
        """The time of a number, without a zone."""

    @abstractmethod
    def read_iso(self, text: str) -> datetime | None:
        """The time of a text in ISO 8601; None for any other text."""

    @abstractmethod
    def write_iso(self, moment: datetime) -> str:
        """A time in ISO 8601, to the resolution."""

    @abstractmethod
    def in_days(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values as days, to round them."""

    @abstractmethod
    def from_days(self, days: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `in_days`."""

    @property
    def known_format(self) -> str:
        """The format, given or learned.

        Raises:
            ValueError: it is neither.
        """
        if self.format is None:
            raise ValueError("the format is not known yet; give format, or let `fit` learn it")
        return self.format

    @property
    def _known_resolution(self) -> Resolution:
        """The resolution, given or learned.

        Raises:
            ValueError: it is neither.
        """
        if self.resolution is None:
            raise ValueError("the resolution is not known yet; give resolution, or let `fit` learn it")
        return self.resolution

    # Cells.

    def learned_format(self, cells: Iterable[tuple[Any, int]]) -> str:
        """The format of most texts of cells, which occur so often; `iso` if there is no text.

        Raises:
            ValueError: none is known, or two are equally good.
        """
        texts: Counter[str] = Counter()
        typed = False
        for cell, count in cells:
            if (text := as_digits(cell)) is not None:
                texts[text] += count
            typed = typed or isinstance(cell, (date, time, np.datetime64))
        guess = guess_format(texts, self.holds, lambda text: self.read_iso(text) is not None)
        if guess is None:
            if typed or not texts:
                return ISO
            raise ValueError(
                f"no cell has a format of a {self.noun} that is known; first, {shown(next(iter(texts)))}; give format, "
                "or use another kind"
            )
        if len(guess.formats) > 1:
            raise ValueError(ambiguous(texts, guess.formats))
        return guess.formats[0]

    def learned(self, chunks: Iterable[Cells]) -> tuple[Self, NDArray[np.float64]]:
        """A copy that knows format and resolution, and the values of the training cells (N,).

        Raises:
            ValueError: they cannot be learned.
        """
        counts: dict[Any, tuple[Any, int]] = {}
        for cells in chunks:
            for cell, count in counted(cells):
                key = (type(cell), cell) if isinstance(cell, _HASHABLE) else (len(counts), None)
                counts[key] = (cell, counts.get(key, (cell, 0))[1] + count)
        known = list(counts.values())
        modality = self.with_options(format=self.format or self.learned_format(known))
        numbers, faults = modality.numbers([cell for cell, _ in known], 0)
        values = np.repeat(numbers, [count for _, count in known])
        values = values[~np.isnan(values)]
        if not len(values):
            first = f" (the first fault: {next(iter(faults.values()))})" if faults else ""
            raise ValueError(f"there is no {self.noun}{first}; mend the data, or give format")
        resolution = self.resolution or resolution_of(self.in_days(values))
        return modality.with_options(resolution=resolution), values

    def number(self, cell: Any, place: int) -> float:
        """The number of a cell: a date or time of any type, a text or digits; NaN, NaT and such are unknown."""
        if isinstance(cell, np.datetime64):
            if np.isnat(cell):
                return math.nan
            cell = cell.astype("datetime64[us]").item()
        if isinstance(cell, (float, np.floating)) and math.isnan(cell):
            return math.nan
        if isinstance(cell, (date, time)):
            return math.nan if cell != cell else self.value_of(cell)
        text = as_digits(cell)
        moment = None if text is None else self._read(text.strip())
        if moment is None:
            such_as = self.write(self.moment(self.number(self.example, 0))) if self.resolution else self.example
            how = "" if self.format is None else f" of the format {self.format}"
            raise ValueError(f"{shown(cell)} is no {self.noun}{how}; write one such as {such_as}, or leave it empty")
        return self.value_of(moment)

    def _read(self, text: str) -> datetime | None:
        """ISO 8601 is always read: tables that have a type for dates hold such texts."""
        moment = None if self.format in (None, ISO) else date_format(self.known_format).read(text)
        return self.read_iso(text) if moment is None else moment

    def write(self, moment: datetime) -> str:
        """A time as a text of the format."""
        return self.write_iso(moment) if self.known_format == ISO else date_format(self.known_format).write(moment)

    def entry(self, number: float, place: int) -> str:
        """The text of the format."""
        return self.write(self.moment(self.nearest(number)))

    def nearest(self, value: float) -> float:
        """The nearest value of the resolution."""
        return float(self.from_days(rounded(self.in_days(np.array([value])), self._known_resolution))[0])

    def layout(self) -> dict[str, Any]:
        """With the unit, and how finely cells are written."""
        return {**super().layout(), "values": self.unit, "resolution": self._known_resolution}

    def not_exported(self) -> Mapping[str, str]:
        """The point."""
        return {"the point": f"round `mean` to the resolution, {self._known_resolution}, by a calendar"}

    def exported(self, p: Distribution, x: Tensor | None) -> dict[str, Tensor]:
        """The parameters, and the mean in place of the point: a program knows no calendar to round by."""
        return {**parameters_of(p), "mean": p.mean}

    def rounded(self, values: Tensor) -> Tensor:
        """The nearest values of the resolution, in the shape of `values`, float64."""
        days = self.in_days(values.detach().cpu().double().reshape(-1).numpy())
        nearest = torch.from_numpy(self.from_days(rounded(days, self._known_resolution)))
        return nearest.reshape(values.shape).to(values.device)

    def style(self, column: ColumnSummary) -> Callable[[Any], Any]:
        """As the column writes its own: in their type, or as texts of their format and zone."""
        writer = self._writer(column)
        return lambda cell: writer(self.moment(self.number(cell, 0)))

    def _writer(self, column: ColumnSummary) -> Callable[[datetime], Any]:
        known = sorted(zip(column.counts, column.cells, strict=True), key=lambda pair: -pair[0])
        texts: Counter[str] = Counter()
        for count, cell in known:
            if isinstance(cell, (date, time, np.datetime64)):
                return like_type(cell)
            if (text := as_digits(cell)) is not None:
                texts[text.strip()] += count
        if is_temporal(column.type):  # of a table that has types, and whose cells are read as texts
            return typed_writer(column.type, self.write_iso)
        numbers = [cell for _, cell in known if isinstance(cell, (int, float, Decimal, np.number))]
        write = self._text_writer(texts)
        if not numbers or column.texts is not None:
            return write
        kind = type(numbers[0])
        return lambda moment: kind(write(moment))

    def _text_writer(self, texts: Mapping[str, int]) -> Callable[[datetime], str]:
        """Writes as most of the texts are written: in the known format if it reads most, else in their own."""
        format = self.known_format
        if format == ISO or not texts:
            return self.write
        own = date_format(format)
        moments = {text: moment for text in texts if (moment := own.read(text)) is not None}
        if 2 * sum(texts[text] for text in moments) < sum(texts.values()):
            guess = guess_format(texts, self.holds, lambda text: self.read_iso(text) is not None)
            if guess is None or guess.formats[0] == ISO:
                return self.write_iso
            own = date_format(guess.formats[0])
            moments = {text: moment for text in texts if (moment := own.read(text)) is not None}
        zones = Counter({moment.tzinfo: 0 for moment in moments.values()})
        for text, moment in moments.items():
            zones[moment.tzinfo] += texts[text]
        return own.in_zone(zones.most_common(1)[0][0])

    def example_cells(self) -> Cells:
        """Four, of which the first is `example`."""
        if self.format in (None, ISO):
            return self.example_texts()
        read = [self.read_iso(text) for text in self.example_texts()]
        return [date_format(self.known_format).write(moment) for moment in read if moment is not None]

    @abstractmethod
    def example_texts(self) -> Sequence[str]:
        """Four cells in ISO 8601."""


_HASHABLE = (str, bool, int, float, Decimal, np.generic, date, time)
_WHOLE = re.compile(r"([0-9]+)\.0*")


def as_digits(cell: Any) -> str | None:
    """A text, or the digits of a whole number such as 20240716; None for any other cell."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (int, float, Decimal, np.number)):
        return None
    try:
        return str(int(cell)) if cell == int(cell) else None
    except (OverflowError, ValueError, ArithmeticError):  # infinity, NaN
        return None


def ambiguous(texts: Iterable[str], formats: Sequence[str]) -> str:
    """Why the format of texts is open, and the choices."""
    example = next(text for text in texts if date_format(formats[0]).read(text.strip()) is not None)
    choices = [
        f"format: '{format}' if {example} is {date_format('%-d %B %Y').write(moment)}"
        for format in formats
        if (moment := date_format(format).read(example.strip())) is not None
    ]
    return f"{example} and all others have two meanings; set {', or '.join(choices)}"
