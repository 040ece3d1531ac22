"""Figures as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mmtoolkit.base.files import make_folder, replacing
from mmtoolkit.components import Picture


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as new:
        figure.savefig(new, format="png")


def save_pictures(pictures: Iterable[tuple[str, Picture]], folder: Path) -> list[dict[str, Any]]:
    """Write pictures into a folder.

    Args:
        pictures: the stem of its file, and the picture; no two stems are the same.
        folder: made where it is not there.

    Returns:
        What figures.json says of each: `file`, `name`, `title` and `text`.
    """
    listed = []
    for stem, picture in pictures:
        file = make_folder(folder) / f"{stem}.png"
        save_figure(picture.figure, file)
        listed.append({"file": file.name, "name": picture.name, "title": picture.title, "text": picture.text})
    return listed
