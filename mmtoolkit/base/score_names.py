"""Names of scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmtoolkit.base.words import MOST_LISTED, short_listing

_FROM_ALL_OTHERS = " from all others"


def entry_name(result: Mapping[str, Any], everything: Sequence[str] = ()) -> str:
    """Name a result: `label from image: accuracy`, or for a density `log p(label | image), z from image`.

    If the proposal was refined, its name ends in `, refined in 50 steps`.

    Args:
        result: an entry in results.json.
        everything: all names that occur beside it. A listing too long for a label is `all` or `all others` then, if it
            has them all, or all but the target.
    """

    def listed(names: Sequence[str]) -> str:
        if len(names) > MOST_LISTED and set(names) == set(everything):
            return "all"
        if len(names) > MOST_LISTED and set(names) == set(everything) - set(result["target"]):
            return "all others"
        return short_listing(names)

    target, given = listed(result["target"]), listed(result["given"])
    if "proposal" in result:
        steps = result.get("refine")
        refined = f", refined in {steps} step{'s' if steps > 1 else ''}" if steps else ""
        z = listed(result["proposal"]) or "the prior"
        return f"log p({target}{given and f' | {given}'}), z from {z}{refined}"
    metric = f": {result['metric']}" if result.get("metric") else ""
    return f"{target} from {given or 'nothing'}{metric}"


def names_in_table(results: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """What the heading of a table of results says, and the names of its rows.

    If each row is a target from all others, the heading alone says so: `, each from all others`. Else it says nothing.
    """
    everything = names_in(results)
    names = [entry_name(result, everything) for result in results]
    if len(names) > 1 and all(_FROM_ALL_OTHERS in name for name in names):
        return f", each{_FROM_ALL_OTHERS}", [name.replace(_FROM_ALL_OTHERS, "", 1) for name in names]
    return "", names


def names_in(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """All names in the targets and givens of results, in their order."""
    return list(dict.fromkeys(name for result in results for name in (*result["target"], *result["given"])))
