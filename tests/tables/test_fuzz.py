"""Some broken schemas and tables from `fuzzing`."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import fuzzing
from mmtoolkit.components.plugins import Plugins, load_plugins

ROUNDS = 20
EACH_ROUND = 12


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture(scope="module")
def known() -> list[Any]:
    return fuzzing.bases()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_schema_is_read_or_refused_in_lines(
    seed: int, plugins: Plugins, known: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(seed)
    for _ in range(EACH_ROUND):
        fuzzing.schema_case(draw, plugins, known)


@pytest.mark.slow
def test_a_table_is_read_or_refused_in_lines(plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fuzzing.lay_out(tmp_path)
    outcomes = Counter(fuzzing.table_case(random.Random(seed), plugins) for seed in range(ROUNDS * EACH_ROUND))
    assert min(outcomes["read"], outcomes["refused"]) > ROUNDS


@pytest.mark.slow
def test_a_table_is_used_or_refused_in_lines(plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fuzzing.lay_out(tmp_path)
    run = fuzzing.trained(tmp_path)
    outcomes = Counter(fuzzing.use_case(random.Random(seed), plugins, run) for seed in range(ROUNDS * EACH_ROUND))
    assert {"refused", "first schema", "imputed", "embedded", "evaluated"} == {*outcomes}
    assert min(outcomes.values()) > 10
