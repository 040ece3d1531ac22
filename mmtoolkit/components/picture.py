"""A picture of a run: a figure, and what its reader needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure that is kept as a file and shown in the report.

    Attributes:
        name: what its file is named after; two pictures may have one name.
        title: what it shows, in a few words.
        text: what to look for; nothing where the title says it all.
        figure: drawn.
    """

    name: str
    title: str
    text: str
    figure: Figure
