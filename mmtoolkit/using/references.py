"""The scores of training cells, among which the scores of other cells are ranked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Run
from mmtoolkit.components.fitted import fingerprint_of, keep_fitted, read_fitted
from mmtoolkit.using.cell_scores import CellScorer
from mmtoolkit.using.run_table import RunTable

FOLDER = "references"
"""The folder of a run folder that has their numbers."""
MOST_ROWS = 1000
"""How many rows a reference has at most."""

_VERSION = 1  # of the way that references are computed: raise it when that changes
_ROWS_AT_ONCE = 500
_TAIL, _FAR = 0.1, 0.02  # the lowest shares of cells that say where the tail begins and how long it is
_LEAST_SCALE = 0.1  # nats


class Reference:
    """The log-probabilities of some cells of each modality.

    Args:
        log_probs: modality -> log p of its cells given the rest of their rows: (n,), in any order, without NaN.
    """

    def __init__(self, log_probs: Mapping[str, Tensor]) -> None:
        self.log_probs = {name: values.double().sort().values for name, values in log_probs.items()}

    @classmethod
    def joined(cls, parts: list[dict[str, Tensor]], names: list[str]) -> Self:
        """The reference of the scores of several batches, NaN where there is none."""
        empty = torch.zeros(0, dtype=torch.float64)
        columns = {name: torch.cat([empty, *(part[name] for part in parts)]) for name in names}
        return cls({name: column[~column.isnan()] for name, column in columns.items()})

    def rank(self, name: str, log_prob: Tensor) -> Tensor:
        """The share of the n reference cells that are less likely: (B,), between 0 and 1; NaN stays NaN.

        It is (below + equal / 2 + 1 / 2) / (n + 1), which is uniform on average for one more cell of the same kind.
        """
        values = self.log_probs[name]
        if not len(values):
            return torch.full_like(log_prob, torch.nan)
        below, to = (torch.searchsorted(values, log_prob, right=right).double() for right in (False, True))
        rank = ((below + to) / 2 + 0.5) / (len(values) + 1)
        return torch.where(log_prob.isnan(), torch.nan, rank)

    def suspicion(self, name: str, log_prob: Tensor) -> Tensor:
        """How suspicious cells are, on one scale for all modalities: (B,), nats; NaN stays NaN.

        It is -log(rank) down to the lowest tenth of the reference cells. Below it, where ranks tell little or nothing
        apart, the rank goes on as an exponential tail: -log 0.1 + (q_0.1 - log p) / s. Its scale is that of the
        column, s = (q_0.1 - q_0.02) / log 5, by quantiles so that a few wrong training cells do not stretch it.
        """
        values = self.log_probs[name]
        if not len(values):
            return torch.full_like(log_prob, torch.nan)
        far, start = values.quantile(torch.tensor([_FAR, _TAIL], dtype=values.dtype))
        scale = ((start - far) / math.log(_TAIL / _FAR)).clamp(min=_LEAST_SCALE)
        tail = (start - log_prob) / scale - math.log(_TAIL)
        return torch.where(log_prob < start, tail, -self.rank(name, log_prob).log())


def training_reference(run: Run, samples: int) -> tuple[Reference, list[str]]:
    """The reference of up to 1,000 training rows, drawn at random, and notes.

    It is kept in the folder `references` of the run folder, and read from there as long as the weights stay the same,
    so that later calls need no data.

    Args:
        run: has the model and the data.
        samples: draws of z for each cell.

    Raises:
        UserError: it is not kept there, and the training rows cannot be read.
    """
    path = run.folder / FOLDER / f"{samples}.safetensors"
    mark = fingerprint_of(run.model, f"{_VERSION} {run.generator.initial_seed()} {samples} {MOST_ROWS}")
    if (numbers := read_fitted(path, mark)) is not None:
        return Reference({name.removeprefix("."): values for name, values in numbers.items()}), []
    try:
        count = len(run.present["train"])
    except UserError as error:
        remedy = 'mend that, or rank cells among those of the table itself: --ranks table, in Python ranks="table"'
        raise UserError([*error.faults, f"ranks: the run's training rows cannot be read; {remedy}"]) from error
    generator = torch.Generator().manual_seed(seed_for("reference rows", run.generator.initial_seed()))
    rows = torch.randperm(count, generator=generator)[:MOST_ROWS].sort().values
    run.say(f"ranks: scores the cells of {len(rows):,} training rows, among which those of the table are ranked")
    scorer = CellScorer(run.model, samples, run.generator)
    parts = [scorer.cells(batch) for batch in run.batches("train", rows.split(_ROWS_AT_ONCE))]
    reference = Reference.joined(parts, scorer.names)
    # A file of tensors keeps one name for itself, __metadata__; a modality may have it too.
    tensors = {f".{name}": values for name, values in reference.log_probs.items()}
    return reference, keep_fitted(run.folder, path, tensors, mark)


def own_reference(run: Run, table: RunTable, samples: int) -> Reference:
    """The reference of up to 1,000 rows of a table, evenly spaced.

    Args:
        run: has the model.
        table: the rows, which it reads to their end.
        samples: draws of z for each cell.
    """
    count = len(table.table)
    chosen = torch.linspace(0, max(count - 1, 0), min(count, MOST_ROWS)).round().long()
    scorer, parts = CellScorer(run.model, samples, run.generator), []
    for piece in table.pieces(names=()):
        places = chosen[(chosen >= piece.start) & (chosen < piece.start + piece.batch.size)] - piece.start
        if len(places):
            parts.append(scorer.cells(piece.batch.take(places)))
    return Reference.joined(parts, scorer.names)
