"""Scores in words: what a table of them says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_MOST_NAMES = 4
# What the entry's name says, what the evaluator's options say, and what other code reads.
_HIDDEN = {"target", "given", "proposal", "metric", "samples", "marginal", "better"}


def number(value: Any) -> str:
    """A score in a table: four decimals below ten, else two; an integer with commas; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def entry_name(result: dict[str, Any]) -> str:
    """`label from image: accuracy`; of a density `log p(label | image), z from image`."""
    target, given = listed(result["target"]), listed(result["given"])
    if "proposal" in result:
        return f"log p({target}{given and f' | {given}'}), z from {listed(result['proposal']) or 'the prior'}"
    metric = f": {result['metric']}" if result.get("metric") else ""
    return f"{target} from {given or 'nothing'}{metric}"


def listed(names: Sequence[str]) -> str:
    """The names; of many the first and how many they are."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: _MOST_NAMES - 1])}, … ({len(names)})"


def score_columns(results: list[dict[str, Any]]) -> list[str]:
    """The columns of an evaluator's results: those that say something in some row."""
    order = ["value", "stderr", "baseline", "relative", "neighbours", "examples"]
    keys = dict.fromkeys(order) | dict.fromkeys(key for result in results for key in result)
    said = [key for key in keys if key not in _HIDDEN and any(r.get(key) is not None for r in results)]
    return [key for key in said if key != "incomplete" or any(r.get(key) for r in results)]
