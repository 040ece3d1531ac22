"""What several lines for the user must say, whatever their words."""

from __future__ import annotations

from collections.abc import Sequence

from facts import assert_facts


def assert_lines(lines: Sequence[str], *expected: Sequence[str]) -> None:
    """There are as many lines as expected; each begins with its first fact and states the others in order."""
    assert len(lines) == len(expected), lines
    for line, (start, *facts) in zip(lines, expected, strict=True):
        assert line.startswith(start), line
        assert_facts(line[len(start) :], *facts)
