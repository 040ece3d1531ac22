"""How a modality proposes to read a column of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Proposal:
    """How a modality would read a column.

    Attributes:
        sure: confidence, from 0 to 1; the kind with the highest one reads the column. Built-in kinds use 0.9 if
            nothing else makes sense, and 0.6 if they can read the column but another kind may fit better.
        options: the modality's options that differ from their defaults, as a schema writes them.
        about: the observation and the reason, for the comment above the modality.
        use: whether to use the column. If not, the schema has the modality as a comment, and `about` gives the reason.
        cost: approximate milliseconds of one core per row of an epoch.
        remarks: on cells that may be wrong or misread, each a short sentence. They follow `about` in the comment, and
            `mmt init` lists them at its end.
    """

    sure: float
    options: Mapping[str, Any]
    about: str
    use: bool = True
    cost: float = 0.3
    remarks: Sequence[str] = ()
