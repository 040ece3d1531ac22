"""Weak supervision: hides some cells of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from mmtoolkit.base.described import Described


class Supervision(Described):
    """Hides training cells, for studies of weak supervision (Wu & Goodman 2018, section 6.1).

    With `paired: f`, a fraction f of the rows keeps everything. The other rows are split evenly among `groups`; each
    keeps only the modalities of its group. A modality that is in no group stays in every row. With `keep: p`, each
    cell stays with probability p. The seed fixes which cells are hidden.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paired: Annotated[float, Field(ge=0, le=1)] | None = None
    """The fraction of training rows that keep all modalities."""
    groups: tuple[tuple[str, ...], ...] | None = None
    """Modalities that stay together in an unpaired row. By default each modality is a group of its own."""
    rest: Literal["keep", "drop"] = "keep"
    """Whether to keep unpaired rows, with one group each, or to drop them."""
    keep: Annotated[float, Field(ge=0, le=1)] | None = None
    """The probability that a cell stays."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes which cells are hidden."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.paired is None) == (self.keep is None):
            raise ValueError("give either paired (a fraction of rows) or keep (a probability of cells), not both")
        if self.keep is not None and (self.groups is not None or self.rest != "keep"):
            raise ValueError("groups and rest need paired; remove them, or give paired instead of keep")
        if self.groups is not None and not (self.groups and all(self.groups)):
            raise ValueError("groups is empty or has an empty group; name modalities, or omit groups")
        return self

    def kept(self, names: Sequence[str], rows: int) -> NDArray[np.bool_]:
        """Which cells stay: (rows, modalities) bool. A dropped row is all False."""
        draw = np.random.default_rng(self.seed)
        if self.keep is not None:
            return draw.random((rows, len(names))) < self.keep
        assert self.paired is not None
        order = draw.permutation(rows)
        mask = np.ones((rows, len(names)), dtype=bool)
        rest = order[round(self.paired * rows) :]
        if self.rest == "drop":
            mask[rest] = False
            return mask
        groups = self.groups if self.groups is not None else tuple((name,) for name in names)
        grouped = {name for group in groups for name in group}
        for place, group in enumerate(groups):
            for m, name in enumerate(names):
                if name in grouped and name not in group:
                    mask[rest[place :: len(groups)], m] = False
        return mask
