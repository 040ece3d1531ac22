"""What the records of a group of tables say: means a table, paired differences, columns filled badly, targets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from filling.columns import Table
from filling.methods import METHODS
from filling.scores import Difference, Score, difference, is_worse, score
from filling.work import Record

_SMALL_ROWS, _SMALL_COLUMNS, _SMALL_SECONDS = 1_000, 20, 20
_ACCURACY, _NRMSE, _SHARE_WORSE = 0.01, 1.03, 0.01

Scores = Mapping[tuple[str, int, str], Score]
"""Score by table, mask and method."""


def summarise(tables: Sequence[Table], records: Iterable[Record]) -> dict[str, Any]:
    """The summary as JSON: `tables`, `means`, `paired`, `worse`, `targets`, `failures`; NaN is None."""
    records = list(records)
    known = {table.name: table for table in tables}
    scores = {(r.table, r.mask, r.method): score(r.errors, known[r.table].numbers) for r in records}
    methods = [method for method in METHODS if any(record.method == method for record in records)]
    rows = {name: _table(table, methods, records, scores) for name, table in known.items()}
    paired = {peer: _paired(peer, scores) for peer in methods if peer != "ours" and "ours" in methods}
    worse = {method: _worse(method, records) for method in methods if method != "mode" and "mode" in methods}
    summary: dict[str, Any] = _rounded(
        {
            "masks": len({record.mask for record in records}),
            "jobs": max(record.jobs for record in records),
            "tables": rows,
            "means": {method: _means(method, rows) for method in methods},
            "paired": paired,
            "worse": worse,
            "targets": _targets(rows, scores, paired, worse),
            "failures": [
                f"{record.method} on {record.table}, mask {record.mask}: {record.failure}"
                for record in records
                if record.failure
            ],
        }
    )
    return summary


def _table(table: Table, methods: Sequence[str], records: Sequence[Record], scores: Scores) -> dict[str, Any]:
    """What a table is, and the means over its masks for each method."""
    row: dict[str, Any] = {
        "rows": len(table.texts),
        "columns": table.texts.shape[1],
        "classes": table.values.shape[1] - len(table.numbers),
        "numbers": len(table.numbers),
        "missing": float(table.values.isna().to_numpy().mean()),
        "methods": {},
    }
    for method in methods:
        mine = [record for record in records if (record.table, record.method) == (table.name, method)]
        results = [scores[record.table, record.mask, method] for record in mine]
        seconds = [record.seconds.get(METHODS[method].seconds, math.nan) for record in mine]
        row["methods"][method] = {
            "accuracy": _mean(result.accuracy for result in results),
            "nrmse": _mean(result.nrmse for result in results),
            "seconds": _median(seconds),
            "empty": _mean(record.empty / sum(map(len, record.errors.values())) for record in mine),
        }
        if method == "ours":
            row["commands"] = {
                command: _median(record.seconds.get(command, math.nan) for record in mine)
                for command in ("init", "check", "run", "impute")
            }
    return row


def _means(method: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The means over tables, and the median of the seconds."""
    results = [row["methods"][method] for row in rows.values()]
    return {
        "accuracy": _mean(result["accuracy"] for result in results),
        "nrmse": _mean(result["nrmse"] for result in results),
        "seconds": _median(result["seconds"] for result in results),
    }


def _paired(peer: str, scores: Scores) -> dict[str, Any]:
    """Ours less a peer, by accuracy and by NRMSE, and the ratio of the means of NRMSE."""
    accuracy = _gaps(scores, peer, lambda ours, theirs: ours.accuracy - theirs.accuracy)
    nrmse = _gaps(scores, peer, lambda ours, theirs: ours.nrmse - theirs.nrmse)
    pairs = [(scores[name, mask, "ours"].nrmse, scores[name, mask, peer].nrmse) for name, mask in _both(scores, peer)]
    known = [pair for pair in pairs if not math.isnan(pair[0] + pair[1])]
    ratio = math.nan
    if known:
        ratio = sum(ours for ours, _ in known) / sum(theirs for _, theirs in known)
    return {"accuracy": vars(accuracy), "nrmse": vars(nrmse), "ratio": ratio}


def _both(scores: Scores, peer: str) -> list[tuple[str, int]]:
    return [(name, mask) for name, mask, method in scores if method == "ours" and (name, mask, peer) in scores]


def _gaps(scores: Scores, peer: str, gap: Any) -> Difference:
    values: dict[str, list[float]] = {}
    for name, mask in _both(scores, peer):
        values.setdefault(name, []).append(gap(scores[name, mask, "ours"], scores[name, mask, peer]))
    return difference(values)


def _worse(method: str, records: Sequence[Record]) -> dict[str, Any]:
    """The columns that a method fills worse than their mode or mean does, of those with cells enough to say."""
    cells: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    bases = {(record.table, record.mask): record for record in records if record.method == "mode"}
    for record in records:
        base = bases.get((record.table, record.mask))
        if record.method != method or base is None:
            continue
        for column, errors in record.errors.items():
            mine, theirs = cells.setdefault((record.table, column), ([], []))
            mine += errors
            theirs += base.errors[column]
    verdicts = {place: is_worse(mine, theirs) for place, (mine, theirs) in cells.items()}
    names = [f"{table}: {column}" for (table, column), worse in verdicts.items() if worse]
    columns = sum(worse is not None for worse in verdicts.values())
    return {"columns": columns, "share": len(names) / columns if columns else math.nan, "names": names}


def _targets(
    rows: Mapping[str, Mapping[str, Any]],
    scores: Scores,
    paired: Mapping[str, Mapping[str, Any]],
    worse: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Each target: its value, with a standard error where it has one, the bound, and whether two errors reach it."""
    targets = []

    def add(what: str, value: float, bound: float, error: float = 0.0, least: bool = False) -> None:
        if math.isnan(value + error):
            return
        met = value + 2 * error >= bound if least else value - 2 * error <= bound
        word = "at least" if least else "at most"
        targets.append({"what": what, "value": value, "error": error, "target": f"{word} {bound:g}", "met": met})

    if "missforest" in paired:
        gap = paired["missforest"]["accuracy"]
        add("accuracy less missForest's", gap["mean"], -_ACCURACY, gap["error"], least=True)
        over = _gaps(scores, "missforest", lambda ours, theirs: ours.nrmse - _NRMSE * theirs.nrmse)
        add(f"NRMSE less {_NRMSE} times missForest's", over.mean, 0, over.error)
    if "neighbours" in paired:
        add("accuracy less that of 10-NN", paired["neighbours"]["accuracy"]["mean"], 0, least=True)
        add("NRMSE less that of 10-NN", paired["neighbours"]["nrmse"]["mean"], 0)
    if "ours" in worse:
        add("share of columns worse than mode or mean", worse["ours"]["share"], _SHARE_WORSE)
    small = [
        r for r in rows.values() if r["rows"] <= _SMALL_ROWS and r["columns"] <= _SMALL_COLUMNS and "commands" in r
    ]
    seconds = _median(row["commands"]["run"] for row in small)
    sizes = f"{len(small)} tables of up to {_SMALL_ROWS:,} rows and {_SMALL_COLUMNS} columns"
    add(f"seconds of `mmt run`, median of {sizes}", seconds, _SMALL_SECONDS)
    return targets


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def _rounded(value: Any) -> Any:
    """The same with four significant digits, and None for NaN, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.4g}")
    return value
