"""Models that join several modalities say so where there is one."""

from __future__ import annotations

from collections.abc import Mapping

from mmtoolkit.base.errors import UserError
from mmtoolkit.components.unit import Unit


def counted(units: Mapping[str, Unit]) -> str:
    """How many units there are, in words: `there is one`, `there are 3 (the record person counts as one)`."""
    count = "there is one" if len(units) == 1 else f"there are {len(units)}"
    records = [name for name, unit in units.items() if list(unit.members(name)) != [name]]
    return f"{count} (the record {records[0]} counts as one)" if records else count


def check_several(model: str, units: Mapping[str, Unit]) -> None:
    """Check that there are two units or more.

    Raises:
        UserError: there is one; the line names the model.
    """
    if len(units) < 2:
        raise UserError(f"model: {model} joins two modalities or more, and {counted(units)}; add one, or use vae")
