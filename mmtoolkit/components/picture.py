"""A picture of a run: a figure with its name, title and explanation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure that is saved to a file and shown in the report.

    Attributes:
        name: the base of the file's name. Two pictures may have the same name.
        title: the content, in a few words.
        text: what to look for in it; empty if the title is enough.
        figure: the finished matplotlib figure.
    """

    name: str
    title: str
    text: str
    figure: Figure
