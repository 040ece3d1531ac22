"""Figures as files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from mmtoolkit.files import replacing

_LONGEST_NAME = 40


def safe_name(name: str, place: int) -> str:
    """A file name for what has any name and a place in a list, as a modality has: no two of the list are the same."""
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return f"{place}_{plain[:_LONGEST_NAME]}"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as new:
        figure.savefig(new, format="png")
