"""The contract kit finds modalities that confuse known and unknown parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from facts import assert_facts
from mmt_attributes import Attributes, Numeric
from mmtoolkit.components import Modality
from mmtoolkit.testing.parts import CHECKS
from mmtoolkit.testing.promises import run_checks
from mmtoolkit.testing.subjects import Subject
from readings import Readings


def faults_of(modality: Modality) -> list[str]:
    return [fault for outcome in run_checks(Subject(modality), CHECKS) for fault in outcome.faults]


@pytest.mark.parametrize(
    "modality",
    [
        Readings(),
        Readings(channels=2),
        Numeric(),
        Numeric(columns=("a", "b", "c")),
        Numeric(columns=("a",)),
        Attributes(columns=("a", "b"), values=("0", "1")),
    ],
)
def test_sound_modalities_pass(modality: Modality) -> None:
    assert faults_of(modality) == []


def _flags_alone(self: Readings, x: Any, parts: Any) -> Any:
    """It keeps the numbers, which nothing may read."""
    return torch.stack([x[:, 0], x[:, 1] * ~parts], 1)


def test_numbers_may_stay_where_nothing_reads_them() -> None:
    assert faults_of(type("Flags", (Readings,), {"__module__": __name__, "without_parts": _flags_alone})()) == []


BROKEN: dict[str, tuple[dict[str, Callable[..., Any]], tuple[str, ...]]] = {
    "no flags": ({"known_parts": lambda self, x: x[:, 1]}, ("known_parts: ", "bool", "float32")),
    "P follows the rows": (
        {"known_parts": lambda self, x: x[:, 1].bool() if len(x) else x[:, 0, :0].bool()},
        ("known_parts: ", "P = 3", "no rows"),
    ),
    "nothing is known": (
        {"known_parts": lambda self, x: torch.zeros_like(x[:, 1]).bool()},
        ("known_parts: ", "every present value", "missing"),
    ),
    "nothing is filled": ({"filled": lambda self, value, made: value}, ("filled: ", "no part unknown")),
    "all is filled": ({"filled": lambda self, value, made: made}, ("filled: ", "as they are")),
    "nothing is hidden": ({"without_parts": lambda self, x, parts: x}, ("without_parts: ", "flags")),
    "others change": (
        {"without_parts": lambda self, x, parts: torch.stack([x[:, 0] * ~parts + 1, x[:, 1] * ~parts], 1)},
        ("without_parts: ", "empty mask"),
    ),
    "scores of all": (
        {"scores": lambda self, point, x: {"squared_error": (point[:, 0] - x[:, 0]).square().mean(1)}},
        ("scores: ", "known parts alone"),
    ),
    "a mean of all": (
        {"baseline": lambda self, chunks: torch.cat(list(chunks)).mean(0)},
        ("baseline: ", "known values"),
    ),
    "numbers without flags": (
        {"without_parts": _flags_alone, "condition": lambda self, x: x.flatten(1)},
        ("condition: ", "unknown parts"),
    ),
    "cells without gaps": ({"cell": lambda self, value: value[0].tolist()}, ("cell: ", "null")),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_modality_that_confuses_them(case: str) -> None:
    methods, facts = BROKEN[case]
    faults = faults_of(type("Broken", (Readings,), {"__module__": __name__, **methods})())
    assert any(fault.startswith(facts[0]) for fault in faults), faults
    assert_facts(next(fault for fault in faults if fault.startswith(facts[0])), *facts)
