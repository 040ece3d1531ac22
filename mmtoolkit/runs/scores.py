"""Columns for tables of scores."""

from __future__ import annotations

from typing import Any

# The entry's name has these, the evaluator's options or notes have these, or only code reads them.
_HIDDEN = {"target", "given", "proposal", "refine", "metric", "samples", "marginal", "better", "features"}


def score_columns(results: list[dict[str, Any]]) -> list[str]:
    """The columns of an evaluator's results that have a value in some row."""
    order = ["value", "stderr", "nominal", "training", "baseline", "relative", "neighbours", "forest", "examples"]
    keys = dict.fromkeys(order) | dict.fromkeys(key for result in results for key in result)
    columns = [key for key in keys if key not in _HIDDEN and any(r.get(key) is not None for r in results)]
    return [key for key in columns if key != "incomplete" or any(r.get(key) for r in results)]
