"""Measures the lines of which two sides take turns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from bench.alternation import OURS, Side, Turn, alternate, opened
from bench.flat_models import new_floor
from bench.reading import Effort, Measured, Reading, Target
from bench.same import check_close, check_floor
from bench.work import WORKS

PEER = Path(__file__).parents[2] / ".venv-multivae/bin/python"
"""The Python of the environment that holds MultiVae."""

FLOOR = Target(most=1.10, aim=1.05)
_TO_FLOOR, _TO_PEER = "times the floor", "times as fast as MultiVae"

Measure = Callable[[Effort], Measured]


def against_floor(
    work: str, rows: int, pairs: int, memory: bool = False, step: Target | None = None, most: Target = FLOOR
) -> Measure:
    """Epochs of ours against those of the floor, after a check that both compute the same.

    Args:
        work: in `WORKS`.
        rows: in an epoch.
        pairs: of epochs.
        memory: whether to read the memory too.
        step: the target of the milliseconds of our step; None if they have none.
        most: the target of the ratio.
    """

    def measure(effort: Effort) -> Measured:
        count = effort.rows(rows)
        task = WORKS[work](rows=count)
        facts: dict[str, Any] = check_floor(task, new_floor(task))
        ours = Side("ours", {"work": work, "rows": count}, environment=OURS)
        compute = ours.facts["compute"]
        floor = Side("floor", {"work": work, "rows": count, "compute": compute}, environment=OURS)
        _check_equal(facts["parameters"], ours.facts["parameters"], floor.facts["parameters"])
        with opened(ours, floor):
            turns = alternate(ours, floor, effort.pairs(pairs))
        steps = -(-count // task.batch_size)
        milliseconds = [1000 * a["seconds"] / steps for a, _ in turns]
        readings = [
            Reading("time of a step", _TO_FLOOR, _ratios(turns), most),
            Reading("our step", "ms", milliseconds, step),
        ]
        if memory:
            peaks = [a["megabytes"] for a, _ in turns]
            readings.append(Reading("memory of our training", "MB", peaks))
            readings.append(Reading("memory", _TO_FLOOR, [a["megabytes"] / b["megabytes"] for a, b in turns]))
        return Measured(readings, {**facts, **compute, "rows": count, "batch": task.batch_size})

    return measure


def against_multivae(work: str, rows: int, pairs: int, target: float) -> Measure:
    """Epochs of ours against those of MultiVae's trainer, each as a user gets it."""

    def measure(effort: Effort) -> Measured:
        count = effort.rows(rows)
        theirs = Side("multivae", {"work": work, "rows": count}, str(PEER))
        ours = Side("ours", {"work": work, "rows": count}, environment=OURS)
        _check_equal(theirs.facts["parameters"], ours.facts["parameters"])
        with opened(ours, theirs):
            turns = alternate(ours, theirs, effort.pairs(pairs))
        readings = [
            Reading("training", _TO_PEER, [1 / ratio for ratio in _ratios(turns)], Target(least=target)),
            Reading("ours", "rows a second", [count / a["seconds"] for a, _ in turns]),
            Reading("MultiVae", "rows a second", [count / b["seconds"] for _, b in turns]),
        ]
        return Measured(readings, {**theirs.facts, **ours.facts["compute"], "rows": count})

    return measure


def likelihood_against_multivae(rows: int, pairs: int, target: float) -> Measure:
    """Estimates of log p(image, label) by K = 1000 draws, against MultiVae's with the same weights."""

    def measure(effort: Effort) -> Measured:
        count, samples = effort.rows(rows, quick=4), 1000
        options = {"rows": count, "samples": samples}
        theirs = Side("multivae likelihood", options, str(PEER))
        ours = Side("our likelihood", {**options, "of": ["image", "label"]}, environment=OURS)
        _check_equal(theirs.facts["parameters"], ours.facts["parameters"])
        with opened(ours, theirs):
            turns = alternate(ours, theirs, effort.pairs(pairs))
        estimates = [turns[0][side]["log_p"] for side in (0, 1)]
        check_close("estimates", torch.tensor(estimates[0]), torch.tensor(estimates[1]), 0.01)
        readings = [
            Reading("the estimate", _TO_PEER, [1 / ratio for ratio in _ratios(turns)], Target(least=target)),
            Reading("ours", "rows a second", [count / a["seconds"] for a, _ in turns]),
        ]
        facts = {**ours.facts["compute"], "rows": count, "samples": samples}
        facts |= {"log p, nats": estimates[0], "log p of the other side": estimates[1]}
        return Measured(readings, facts)

    return measure


def likelihood_against_products(rows: int, pairs: int) -> Measure:
    """Estimates of log p(image) by K = 1000 draws, against the decoder's products and the sum over pixels alone."""

    def measure(effort: Effort) -> Measured:
        count, samples = effort.rows(rows, quick=4), 1000
        options = {"rows": count, "samples": samples}
        ours = Side("our likelihood", {**options, "of": ["image"]}, environment=OURS)
        compute = ours.facts["compute"]
        flat = Side("flat likelihood", {**options, "compute": compute}, environment=OURS)
        _check_equal(ours.facts["parameters"], flat.facts["parameters"])
        with opened(ours, flat):
            turns = alternate(ours, flat, effort.pairs(pairs))
        readings = [
            Reading("the estimate", _TO_FLOOR, _ratios(turns), FLOOR),
            Reading("ours", "draws a second", [count * samples / a["seconds"] for a, _ in turns]),
        ]
        return Measured(readings, {**compute, "rows": count, "samples": samples})

    return measure


def beside_neighbours(work: str, rows: int, pairs: int, busy: int = 2) -> Measure:
    """Our training with its own choice of threads, against one thread, while other processes are busy."""

    def measure(effort: Effort) -> Measured:
        count = effort.rows(rows)
        chosen = Side("ours", {"work": work, "rows": count}, environment=OURS)
        single = Side("ours", {"work": work, "rows": count, "threads": 1}, environment=OURS)
        with opened(chosen, single), _spinning(busy):
            turns = alternate(chosen, single, effort.pairs(pairs))
        readings = [
            Reading(
                f"training beside {busy} busy processes",
                "times as fast as with one thread",
                [1 / ratio for ratio in _ratios(turns)],
                Target(least=0.7),
            ),
            Reading("with its own threads", "rows a second", [count / a["seconds"] for a, _ in turns]),
            Reading("with one thread", "rows a second", [count / b["seconds"] for _, b in turns]),
        ]
        return Measured(readings, {**chosen.facts["compute"], "rows": count})

    return measure


def overhead(work: str, rows: int, epochs: int) -> Measure:
    """The time that validation and checkpoints add to short epochs."""

    def measure(effort: Effort) -> Measured:
        count = effort.rows(rows)
        ours = Side("ours", {"work": work, "rows": count, "valid": max(1, count // 5)}, environment=OURS)
        with opened(ours):
            ours.turn()
            turns = [ours.turn() for _ in range(effort.pairs(epochs))]
        total = sum(turn["overhead"] for turn in turns) / sum(turn["seconds"] for turn in turns)
        shares = [100 * turn["overhead"] / turn["seconds"] for turn in turns]
        seconds = [turn["seconds"] for turn in turns]
        readings = [
            Reading(
                "validation and checkpoints, all epochs together", "% of the steps", [100 * total], Target(most=10)
            ),
            Reading("in single epochs", "% of the steps", shares),
            Reading("steps of an epoch", "s", seconds),
        ]
        return Measured(readings, {**ours.facts["compute"], "rows": count, "epochs": len(turns)})

    return measure


def _ratios(turns: Sequence[tuple[Turn, Turn]]) -> list[float]:
    """The first side's time as a share of the second's, by pair."""
    return [a["seconds"] / b["seconds"] for a, b in turns]


def _check_equal(*counts: int) -> None:
    if len(set(counts)) > 1:
        raise ValueError(f"the sides have {counts} parameters, not equally many")


@contextmanager
def _spinning(count: int) -> Iterator[None]:
    """Processes that keep a core busy each."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
