"""Names of scores."""

from __future__ import annotations

from typing import Any

from mmtoolkit.base.words import short_listing


def entry_name(result: dict[str, Any]) -> str:
    """Name a result: `label from image: accuracy`, or for a density `log p(label | image), z from image`.

    If the proposal was refined, its name ends in `, refined in 50 steps`.
    """
    target, given = short_listing(result["target"]), short_listing(result["given"])
    if "proposal" in result:
        steps = result.get("refine")
        refined = f", refined in {steps} step{'s' if steps > 1 else ''}" if steps else ""
        z = short_listing(result["proposal"]) or "the prior"
        return f"log p({target}{given and f' | {given}'}), z from {z}{refined}"
    metric = f": {result['metric']}" if result.get("metric") else ""
    return f"{target} from {given or 'nothing'}{metric}"
