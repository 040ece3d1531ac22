"""Names of scores."""

from __future__ import annotations

from typing import Any

from mmtoolkit.base.words import short_listing


def entry_name(result: dict[str, Any]) -> str:
    """Name a result: `label from image: accuracy`, or for a density `log p(label | image), z from image`."""
    target, given = short_listing(result["target"]), short_listing(result["given"])
    if "proposal" in result:
        return f"log p({target}{given and f' | {given}'}), z from {short_listing(result['proposal']) or 'the prior'}"
    metric = f": {result['metric']}" if result.get("metric") else ""
    return f"{target} from {given or 'nothing'}{metric}"
