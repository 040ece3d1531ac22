"""Two sides of a line as two processes that take turns: the end in the parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[1]
OURS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""The environment of `mmt`'s own process."""

_LONGEST, _FEWEST = 45.0, 5  # seconds of a line's turns, and the pairs that it has in any case

Turn = Mapping[str, float]


class SideError(Exception):
    """A side ended before its line had all its turns."""


class Side:
    """A process that takes turns; `facts` are what it reported before the first.

    Args:
        name: of a function in `bench.sides`.
        options: its arguments.
        python: that runs it.
        environment: variables that are added to ours.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # it lives as long as the process
        self._process = subprocess.Popen(
            [python, "-m", "bench.child", name, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_FOLDER), **(environment or {})},
        )
        self.facts: Mapping[str, Any] = self._read()

    def turn(self) -> Turn:
        """Let it take a turn."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End it."""
        self._process.communicate()
        self._errors.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            self._errors.seek(0)
            raise SideError(f"a side ended with status {self._process.returncode}:\n{self._errors.read()[-4000:]}")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def opened(*sides: Side) -> Iterator[None]:
    """End the sides afterwards."""
    with ExitStack() as stack:
        for side in sides:
            stack.callback(side.close)
        yield


def alternate(first: Side, second: Side, pairs: int) -> list[tuple[Turn, Turn]]:
    """Pairs of turns, after one of each to warm up. Who begins changes from pair to pair, so that a drift cancels.

    Where turns are long there are fewer pairs than asked for, so that no line takes much more than a minute.
    """
    turns: list[tuple[Turn, Turn]] = []
    begun = time.monotonic()
    for pair in range(pairs + 1):
        if pair > _FEWEST and time.monotonic() - begun > _LONGEST:
            break
        if pair % 2:
            b, a = second.turn(), first.turn()
        else:
            a, b = first.turn(), second.turn()
        turns.append((a, b))
    return turns[1:]
