"""The share of a table in parts that one of several jobs works on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mmtoolkit.base.errors import UserError


@dataclass(frozen=True)
class Shard:
    """One of n shares of the files of a table.

    Attributes:
        place: which share, 1 to `count`.
        count: n.
    """

    place: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the second of eight shares from `2/8`.

        Raises:
            UserError: the text is no such pair of numbers.
        """
        numbers = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if numbers is None:
            raise UserError(f"--shard {text}: is no share; give I/N, such as 2/8 for the second of eight")
        place, count = map(int, numbers.groups())
        if not 1 <= place <= count:
            raise UserError(f"--shard {text}: there is no such share; the first number goes from 1 to the second")
        return cls(place, count)

    def files(self, files: Sequence[Path]) -> list[Path]:
        """Its files: every n-th, so that the shares of files of like sizes are alike."""
        return list(files[self.place - 1 :: self.count])

    def of_one_file(self, path: Path) -> UserError:
        """The error of a table in one file, which has no shares."""
        return UserError(f"--shard {self}: {path} is one file; give a folder of Parquet files, which has shares")

    def __str__(self) -> str:
        return f"{self.place}/{self.count}"
