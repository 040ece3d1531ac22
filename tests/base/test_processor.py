"""The cores that a process may use, and what its processor is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mmtoolkit.base import processor

HERE = sys.platform == "linux"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Eight cores, and a folder for the container's limits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(processor, "_CGROUPS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "cores"), [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("9900000 100000", 8), ("?", 8)]
)
def test_a_container_of_version_2_may_have_a_quota(machine: Path, limit: str, cores: int) -> None:
    (machine / "cpu.max").write_text(f"{limit}\n")
    assert processor.available_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 8)])
def test_a_container_of_version_1_may_have_a_quota(machine: Path, quota: str, cores: int) -> None:
    (machine / "cpu").mkdir()
    (machine / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (machine / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert processor.available_cores() == cores


def test_without_a_quota_all_cores_that_the_process_may_run_on_count(machine: Path) -> None:
    assert processor.available_cores() == 8


@pytest.mark.skipif(not HERE, reason="needs Linux's list of cores")
def test_a_process_bound_to_one_core_has_one() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert processor.available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_facts_are_the_words_of_the_first_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu avx512f\n\nprocessor\t: 1\n")
    monkeypatch.setattr(processor, "_CPUINFO", info)
    processor.processor_facts.cache_clear()
    try:
        assert processor.processor_facts() == {"AuthenticAMD", "fpu", "avx512f"}
        monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "none")
        processor.processor_facts.cache_clear()
        assert processor.processor_facts() == frozenset()
    finally:
        processor.processor_facts.cache_clear()
