"""Checks the path of a table in a schema or in an option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationInfo

from mmtoolkit.tables.location import location_fault


def refuse_location(path: Any, info: ValidationInfo) -> Any:
    """Refuse an address or a pipe before the path is made absolute, which would hide what it is.

    Args:
        path: as the user wrote it; or split -> path.
        info: its context has the folder of relative paths.
    """
    folder = (info.context or {}).get("folder", Path())
    for each in path.values() if isinstance(path, dict) else [path]:
        if isinstance(each, (str, Path)):
            fault = location_fault(Path(each)) or location_fault(Path(folder) / each)
            if fault:
                raise ValueError(fault)
    return path
