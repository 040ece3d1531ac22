"""What a method sees of the mixed table: the scalar columns alone, or also pictures and texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filling import missforest, mode, neighbours, ours
from filling.filled import Effort, Fill, Filled, Holed
from kanji.dictionary import PICTURE, TEXTS


@dataclass(frozen=True)
class Peer:
    """A method that sees the scalar columns alone."""

    title: str
    fill: Fill


@dataclass(frozen=True)
class View:
    """mmtoolkit on some of the columns.

    Attributes:
        title: in tables.
        beside: the columns that it sees beside the scalar ones.
    """

    title: str
    beside: Collection[str]

    def fill(self, table: Holed, effort: Effort, folder: Path, settings: Sequence[str] = ()) -> Filled:
        """Fill the scalar columns with the commands of a user, in a folder with the pictures."""
        unseen = [column for column in (PICTURE, *TEXTS) if column not in self.beside]
        return ours.fill_in(folder, replace(table, texts=table.texts.drop(columns=unseen)), effort, settings)


PEERS: Mapping[str, Peer] = {
    "mode": Peer("mode, mean", mode.fill),
    "neighbours": Peer("10-NN", neighbours.fill),
    "missforest": Peer("missForest", missforest.fill),
}
"""Name -> method."""

VIEWS: Mapping[str, View] = {
    "scalars": View("mmtoolkit, scalars", ()),
    "texts": View("+ texts", TEXTS),
    "pictures": View("+ pictures", (PICTURE,)),
    "both": View("+ pictures and texts", (PICTURE, *TEXTS)),
}
"""Name -> view."""
