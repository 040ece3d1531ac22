"""How suspicious cells are, where a wrong cell misleads what is expected of the others in its row."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mmtoolkit.core.batch import Batch
from mmtoolkit.using.cell_scores import CellScorer
from mmtoolkit.using.references import Reference

_ROUNDS = 2  # cells of a row that may mislead: swapped columns are two wrong cells
_MISLEADS = -math.log(0.01)  # the suspicion from which a cell may do so


def suspicions(
    scorer: CellScorer, reference: Reference, batch: Batch, log_probs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The suspicion of each cell: name -> (B,), nats, NaN where there is no score.

    The most suspicious cell of a row, if its rank is below 0.01 or so, is hidden, and the others are scored once more
    given what is left; then the next one is. Each cell keeps the least suspicion that it had, so that a right cell
    which does not fit a wrong one is excused.

    Args:
        scorer: scores the cells that are left.
        reference: of cells of the same run.
        batch: B rows.
        log_probs: log p of each cell given the rest of its row.
    """
    names = list(log_probs)
    least = _stacked(reference, names, log_probs, batch.size)
    hidden = torch.zeros(least.shape, dtype=torch.bool)
    columns = torch.tensor([batch.names.index(name) for name in names], dtype=torch.int64)
    for _ in range(_ROUNDS if len(names) > 1 else 0):
        value, worst = least.nan_to_num(nan=-torch.inf).masked_fill(hidden, -torch.inf).max(1)
        rows = (value > _MISLEADS).nonzero().squeeze(1)
        if not len(rows):
            break
        hidden[rows, worst[rows]] = True
        visible = torch.ones(len(rows), len(batch.names), dtype=torch.bool)
        visible[:, columns] = ~hidden[rows]
        left = scorer.cells(batch.take(rows).where(visible))
        again = _stacked(reference, names, left, len(rows))
        least[rows] = torch.where(again < least[rows], again, least[rows])  # never where it is NaN
    return dict(zip(names, least.unbind(1), strict=True))


def _stacked(reference: Reference, names: list[str], log_probs: Mapping[str, Tensor], rows: int) -> Tensor:
    """The suspicions of cells by their own log-probabilities: (rows, C)."""
    columns = [reference.suspicion(name, log_probs[name]) for name in names]
    return torch.stack(columns, dim=1) if columns else torch.zeros(rows, 0, dtype=torch.float64)
