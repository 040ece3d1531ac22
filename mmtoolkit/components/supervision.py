"""Weak supervision: which cells of the training rows a study hides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Supervision(BaseModel):
    """Hides training cells, drawn once from the seed and fixed for each row (Wu & Goodman 2018, section 6.1).

    With `paired: f` a fraction f of the rows keeps everything and the rest is split evenly among `groups`, each
    of which keeps only its own modalities; a modality of no group stays in every row. With `keep: p` each cell
    stays with probability p.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    paired: Annotated[float, Field(ge=0, le=1)] | None = None
    """The fraction of training rows that keep all modalities."""
    groups: tuple[tuple[str, ...], ...] | None = None
    """Names of modalities that stay together in an unpaired row. Default: each modality alone."""
    rest: Literal["keep", "drop"] = "keep"
    """Whether unpaired rows stay, with one group each, or are left out altogether."""
    keep: Annotated[float, Field(ge=0, le=1)] | None = None
    """The probability with which each cell of each row stays."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes which cells are hidden."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.paired is None) == (self.keep is None):
            raise ValueError("needs paired (a fraction of rows) or keep (a probability of cells), one of the two")
        if self.keep is not None and (self.groups is not None or self.rest != "keep"):
            raise ValueError("groups and rest belong to paired; drop them, or keep")
        if self.groups is not None and not (self.groups and all(self.groups)):
            raise ValueError("groups is empty or has an empty group; name modalities, or leave groups out")
        return self

    def kept(self, names: Sequence[str], rows: int) -> NDArray[np.bool_]:
        """Which cells stay: (rows, modalities) bool, a row all False where it is dropped."""
        draw = np.random.default_rng(self.seed)
        if self.keep is not None:
            return draw.random((rows, len(names))) < self.keep
        assert self.paired is not None
        order = draw.permutation(rows)
        kept = np.ones((rows, len(names)), dtype=bool)
        rest = order[round(self.paired * rows) :]
        if self.rest == "drop":
            kept[rest] = False
            return kept
        groups = self.groups if self.groups is not None else tuple((name,) for name in names)
        grouped = {name for group in groups for name in group}
        for place, group in enumerate(groups):
            for m, name in enumerate(names):
                if name in grouped and name not in group:
                    kept[rest[place :: len(groups)], m] = False
        return kept
