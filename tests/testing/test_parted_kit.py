"""The kit's checks of modalities made of parts: form, reader, places and event agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from facts import assert_facts
from mmt_attributes import Label, TimeOfDay
from mmtoolkit import (
    MLP,
    Architecture,
    Classes,
    Form,
    GaussianLikelihood,
    Likelihood,
    NumberModality,
    Numbers,
    OrdinalLikelihood,
    Part,
    Parted,
    VonMisesLikelihood,
)
from mmtoolkit.testing import check_modality
from mmtoolkit.testing.parted import cycles_are_no_lines
from mmtoolkit.testing.subjects import Subject


class Point(Parted):
    """Two numbers."""

    kind: Literal["point"] = "point"
    gives: ClassVar[type[Form]] = Numbers
    network: Part[Architecture] = MLP(width=8)
    likelihood: Part[Likelihood] = GaussianLikelihood(scale=1.0)

    def form(self) -> Form:
        return Numbers(2)

    def event_shape(self) -> tuple[int, ...]:
        return (2,)

    def parse(self, cell: Any) -> Tensor:
        if not isinstance(cell, (list, tuple)) or len(cell) != 2:
            raise ValueError(f"{cell!r} is no list of two numbers; give one")
        try:
            x = torch.tensor([float(number) for number in cell])
        except (TypeError, ValueError):
            x = torch.tensor([torch.nan])
        if not x.isfinite().all():
            raise ValueError(f"{cell!r} has no two finite numbers; give them")
        return x

    def example_cells(self) -> list[Any]:
        return [[0.0, 1.0], [1.0, 0.5], [-2.0, 0.25], [0.5, 3.0]]

    def point(self, p: Distribution) -> Tensor:
        return p.mean.float()


class Direction(NumberModality, Parted):
    """Degrees, averaged as if they lay on a line."""

    kind: Literal["direction"] = "direction"
    gives: ClassVar[type[Form]] = Numbers
    network: Part[Architecture] = MLP(width=8)
    likelihood: Part[Likelihood] = VonMisesLikelihood()

    def form(self) -> Form:
        return Numbers(1, support="cyclic", shift=(0.0,), scale=(180 / torch.pi,))

    def number(self, cell: Any, place: int) -> float:
        return float(cell)

    def entry(self, number: float, place: int) -> float:
        return number

    def part_numbers(self, x: Tensor) -> None:
        pass


class Widened(nn.Module):
    """Three numbers of two."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x[:, :1]], dim=1)


class Floats(nn.Module):
    """Indices as floats."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float()


def changed(base: type[Parted], **attributes: Any) -> Parted:
    """A modality with other attributes."""
    made: Parted = type("Changed", (base,), {"__module__": __name__, "__annotations__": {}, **attributes})()
    return made


BROKEN: dict[str, tuple[Callable[[], Parted], tuple[str, ...]]] = {
    "a reader of another shape": (
        lambda: changed(Point, reader=lambda self: Widened()),
        ("reader", "(12, 2)", "(12, 3)", "agree"),
    ),
    "a reader of floats": (lambda: changed(Label, reader=lambda self: Floats()), ("reader", "int64", "x.long()")),
    "joined to something else": (
        lambda: changed(Point, joined=lambda self, p: p),
        ("joined", "event_shape (2,)", "agree"),
    ),
    "places that are not those of the event": (
        lambda: changed(Point, form=lambda self: Numbers(3), reader=lambda self: Widened()),
        ("joined", "(3,)", "event_shape (2,)"),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_modality_of_parts(case: str) -> None:
    make, facts = BROKEN[case]
    with pytest.raises(AssertionError) as raised:
        check_modality(make())
    for line in str(raised.value).splitlines():
        try:
            assert_facts(line, *facts)
        except AssertionError:
            continue
        return
    pytest.fail(f"no line has {facts}: {raised.value}")


def test_a_good_one_keeps_every_promise() -> None:
    check_modality(Point())


def test_the_form_has_the_type_that_it_gives() -> None:
    broken = changed(Point, gives=Classes, _parts_fit=lambda self: self)
    with pytest.raises(AssertionError) as raised:
        check_modality(broken)
    assert_facts(str(raised.value), "gives", "Classes", "Numbers(size=2)")


def test_a_cycle_is_no_line() -> None:
    (fault,) = cycles_are_no_lines(Subject(Direction()))
    assert_facts(fault, "baseline, pooled, spread, entry_scores: must go around the cycle", "write them")
    assert not list(cycles_are_no_lines(Subject(TimeOfDay())))


@pytest.mark.slow
def test_an_ordinal_label() -> None:
    check_modality(Label(classes=("bad", "fair", "good"), network=MLP(width=8), likelihood=OrdinalLikelihood()))
