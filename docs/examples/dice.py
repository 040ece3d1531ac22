"""Throws of a die: a source whose rows follow from its options alone."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from mmtoolkit import Columns, Component, Source, Table, hookimpl


class Dice(Source):
    """Throws of a die: its eyes, and whether they are even. Columns: `eyes`, `even`."""

    kind: Literal["dice"] = "dice"

    throws: PositiveInt = 1000
    """Rows of each split."""
    seed: int = 0
    """Fixes the throws."""

    def splits(self) -> tuple[str, ...]:
        """Train, valid and test."""
        return "train", "valid", "test"

    def files(self) -> Sequence[Path]:
        """None: the rows follow from the options."""
        return []

    def load(self, split: str) -> Table:
        """Eyes as whole numbers, some of them missing."""
        draw = np.random.default_rng([self.seed, self.splits().index(split)])
        eyes = draw.integers(1, 7, size=self.throws)
        seen = draw.random(self.throws) < 0.8
        return Columns(
            {
                "eyes": [int(number) if there else None for number, there in zip(eyes, seen, strict=True)],
                "even": np.where(eyes % 2 == 0, "yes", "no"),
            }
        )


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this file."""
    return [Dice]
