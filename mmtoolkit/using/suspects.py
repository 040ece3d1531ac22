"""The most suspicious cells of a table."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmtoolkit.components import Modality
from mmtoolkit.tables.fitting import plain
from mmtoolkit.using.cell_scores import CellScorer, text_of
from mmtoolkit.using.run_table import Piece


@dataclass(frozen=True)
class Suspect:
    """A cell of a table that the model finds unlikely given the rest of its row.

    Attributes:
        row: the place of its row, from 0.
        column: its column, or the modality if that has several columns.
        cell: the cell, as the table has it; a text if it is no text or number.
        expected: what the model predicts from the rest of the row, as text.
        log_prob: log p of the cell given the rest of its row, nats.
        rank: the share of training cells of the column that are less likely.
        suspicion: by which cells are ordered, nats: -log(rank), continued beyond the least likely training cells, and
            less if worse cells of the row explain it.
    """

    row: int
    column: str
    cell: Any
    expected: str
    log_prob: float
    rank: float
    suspicion: float


class Suspects:
    """Keeps the most suspicious cells of pieces of a table.

    Args:
        scorer: predicts what the model expected.
        most: how many to keep.
    """

    def __init__(self, scorer: CellScorer, most: int) -> None:
        self.scorer, self.most = scorer, most
        self._heap: list[tuple[float, int, Suspect]] = []
        self._order = itertools.count(0, -1)  # among cells that are as suspicious, the first come first

    def add(
        self,
        piece: Piece,
        log_probs: Mapping[str, Tensor],
        ranks: Mapping[str, Tensor],
        suspicions: Mapping[str, Tensor],
    ) -> None:
        """Add the cells of n rows: modality -> (n,) each, NaN where a cell has no score."""
        if not self.most or not suspicions:
            return
        names = list(suspicions)
        every = torch.stack([suspicions[name] for name in names], dim=1).nan_to_num(nan=-torch.inf).flatten()
        bar = self._heap[0][0] if len(self._heap) == self.most else -torch.inf
        values, places = every.topk(min(self.most, len(every)))
        chosen = sorted(places[values > bar].tolist())
        rows = {name: [place // len(names) for place in chosen if names[place % len(names)] == name] for name in names}
        for name, of_name in rows.items():
            if not of_name:
                continue
            part = piece.batch.take(torch.tensor(of_name))
            expected, column = self.scorer.expected(part, name), _column(name, self.scorer.model.modalities[name])
            cells = _cells(piece, name, self.scorer.model.modalities[name], of_name, part.value(name).cpu())
            for row, cell, text in zip(of_name, cells, expected, strict=True):
                numbers = (float(scores[name][row]) for scores in (log_probs, ranks, suspicions))
                suspect = Suspect(piece.start + row, column, cell, text, *numbers)
                entry = (suspect.suspicion, next(self._order), suspect)
                if len(self._heap) < self.most:
                    heapq.heappush(self._heap, entry)
                else:
                    heapq.heappushpop(self._heap, entry)

    def ordered(self) -> list[Suspect]:
        """The cells, the most suspicious first."""
        return [suspect for _, _, suspect in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


def _column(name: str, modality: Modality) -> str:
    columns = modality.source_columns(name)
    return columns[0] if len(columns) == 1 else name


def _cells(piece: Piece, name: str, modality: Modality, rows: list[int], values: Tensor) -> list[Any]:
    """The cells of some rows as the table has them; a text for one that is neither text nor number."""
    columns = modality.source_columns(name)
    if len(columns) > 1:
        return [modality.text(value) for value in values]
    cells = piece.rows.cells(columns[0])
    return [
        cell if isinstance(cell, (str, int, float)) else text_of(modality, value)
        for cell, value in zip((plain(cells[row]) for row in rows), values, strict=True)
    ]
