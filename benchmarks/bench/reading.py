"""What a line measures: readings with their spread, each beside its target."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Target:
    """At most or at least some number; `aim` is a better one that a line need not reach."""

    most: float | None = None
    least: float | None = None
    aim: float | None = None

    def met(self, value: float) -> bool:
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    @property
    def text(self) -> str:
        bound = f"at most {self.most:g}" if self.most is not None else f"at least {self.least:g}"
        return bound if self.aim is None else f"{bound} ({self.aim:g} aimed at)"


@dataclass(frozen=True)
class Reading:
    """A number that was measured several times.

    Attributes:
        what: is measured.
        unit: of the number, such as `times the floor`.
        values: one for each pair of turns, or for each repeat.
        target: that its median should meet, if it has one.
    """

    what: str
    unit: str
    values: Sequence[float]
    target: Target | None = None

    def as_json(self) -> dict[str, Any]:
        low, middle, high = quartiles(self.values)
        line: dict[str, Any] = {"what": self.what, "unit": self.unit, "median": round(middle, 4)}
        line |= {"quartiles": [round(low, 4), round(high, 4)], "repeats": len(self.values)}
        if self.target is not None:
            line |= {"target": self.target.text, "met": self.target.met(middle)}
        return line


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The first quartile, the median and the third; of a single value, it thrice."""
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def written(reading: Mapping[str, Any]) -> str:
    """A reading in one line, from its JSON."""
    low, high = reading["quartiles"]
    text = f"{reading['what']}: {number(reading['median'])} {reading['unit']}"
    text += f" (quartiles {number(low)} to {number(high)} of {reading['repeats']})"
    return text + (f"; target {reading['target']}: {verdict(reading)}" if "target" in reading else "")


def verdict(reading: Mapping[str, Any]) -> str:
    return {True: "met", False: "missed", None: ""}[reading.get("met")]


def number(value: float) -> str:
    """Two decimals below 10, one below 100, else none."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


@dataclass(frozen=True)
class Effort:
    """How much a line repeats: enough to read, or in quick mode just enough to run to the end."""

    quick: bool = False

    def pairs(self, full: int) -> int:
        return 1 if self.quick else full

    def rows(self, full: int, quick: int = 100) -> int:
        return quick if self.quick else full


@dataclass(frozen=True)
class Measured:
    """The readings of a line, and facts that say what was compared."""

    readings: Sequence[Reading]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A line of the bench.

    Attributes:
        name: by which `make bench LINES=…` chooses it, alone or by the part before a dot.
        about: what is compared with what.
        measure: measures it.
        peer: whether it needs the environment of MultiVae.
    """

    name: str
    about: str
    measure: Callable[[Effort], Measured]
    peer: bool = False
