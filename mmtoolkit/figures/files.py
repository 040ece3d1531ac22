"""Writing figures to files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mmtoolkit.base.files import make_folder, replacing
from mmtoolkit.components import Picture

_COMPRESSION = 3  # of 9: half the time of the default level, for files a few percent larger


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; a failed write leaves no file."""
    with replacing(path) as new:
        figure.savefig(new, format="png", pil_kwargs={"compress_level": _COMPRESSION})


def save_pictures(pictures: Iterable[tuple[str, Picture]], folder: Path) -> list[dict[str, Any]]:
    """Write pictures into a folder.

    Args:
        pictures: the stem of each file, and the picture; stems must differ.
        folder: where to write them; created if there is none.

    Returns:
        The entry of each picture in figures.json: `file`, `name`, `title` and `text`.
    """
    entries = []
    for stem, picture in pictures:
        file = make_folder(folder) / f"{stem}.png"
        save_figure(picture.figure, file)
        entries.append({"file": file.name, "name": picture.name, "title": picture.title, "text": picture.text})
    return entries
