"""What the nearest training rows say of missing cells: the baseline that needs no training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmtoolkit.components import Modality, Run
from mmtoolkit.core.batch import Batch, sent

_MOST_FEATURES = 512  # of a modality; more are projected to so many, and squared distances then err by some 6 %
_ROWS_AT_ONCE = 100


class Neighbours:
    """The k nearest of some training rows, by what both rows have.

    The squared distance of two rows is the mean, over the modalities that both have, of the squared Euclidean distance
    between what `Modality.condition` tells of their values, each modality's over its mean between training rows: all
    weigh alike. Where each modality is one number these are the neighbours of the nan-Euclidean distance between
    standardised columns (Troyanskaya et al. 2001).

    Args:
        run: whose training rows they are.
        rows: (N,) int64, those that may be neighbours; of rows that are as near the first are taken.
        k: how many neighbours there are, or fewer where fewer have the modality and anything in common with a row.
    """

    def __init__(self, run: Run, rows: Tensor, k: int) -> None:
        self.run, self.rows, self.k = run, rows, k
        self.present = run.present["train"][rows]
        self._projections = {
            name: _projection(modality, run.generator.initial_seed()) for name, modality in run.modalities.items()
        }
        told: dict[str, list[Tensor]] = {name: [] for name in run.modalities}
        values: dict[str, list[Tensor]] = {name: [] for name in run.modalities}
        for batch in run.batches("train", rows.split(_ROWS_AT_ONCE)):
            for name in batch.names:
                if len(batch.rows(name)):
                    told[name].append(self._told(name, batch))
                    values[name].append(batch.value(name).cpu())
        self._values = {name: torch.cat(parts) for name, parts in values.items() if parts}
        self._features: dict[str, Tensor] = {}  # (N, features), anything where a row does not have the modality
        self._spread: dict[str, float] = {}  # the mean of the squared distance of two rows that have it
        for m, name in enumerate(run.modalities):
            if told[name]:
                x = torch.cat(told[name])
                # Of a modality that is the same in all rows nothing tells them apart.
                self._spread[name] = 2 * float(x.var(0, correction=0).sum()) or math.inf
                places = sent(self.present[:, m].nonzero().squeeze(1), x.device)
                self._features[name] = x.new_zeros(len(rows), x.shape[1]).index_copy(0, places, x)

    def _told(self, name: str, batch: Batch) -> Tensor:
        """What is compared of a batch's present values: (N, features), float64."""
        told = self.run.modalities[name].condition(batch.value(name))
        projection = self._projections[name]
        return (told if projection is None else told @ sent(projection, told.device)).double()

    def distances(self, batch: Batch) -> Tensor:
        """Squared distances of a batch's rows to the training rows, (B, N) on the host; inf where none can be told."""
        total = torch.zeros(batch.size, len(self.rows), dtype=torch.float64)
        shared = torch.zeros_like(total)
        for m, name in enumerate(batch.names):
            if name not in self._features or not len(rows := batch.rows(name)):
                continue
            told, have = self._told(name, batch), self.present[:, m]
            apart = torch.cdist(told, self._features[name], compute_mode="donot_use_mm_for_euclid_dist").square().cpu()
            total.index_add_(0, rows, torch.where(have, apart / self._spread[name], 0.0))
            shared.index_add_(0, rows, have.double().expand(len(rows), -1))
        return torch.where(shared > 0, total / shared.clamp(min=1), math.inf)

    def predicted(self, batch: Batch, wanted: Tensor, itself: Tensor | None = None) -> dict[str, Tensor]:
        """The `Modality.baseline`, mean or mode, of the neighbours' values of each wanted cell.

        What a neighbour does not know of a vector counts as the training mean or mode, and so does a cell that has no
        neighbour.

        Args:
            batch: B rows, without the cells that are wanted.
            wanted: (B, M) bool, on the host.
            itself: (B,) int64, training rows that are no neighbours of theirs: each row itself, where it is one.

        Returns:
            name -> (n, *event), of the n rows of which it is wanted; what no row wants is left out.
        """
        distances = self.distances(batch)
        if itself is not None:
            distances[itself.unsqueeze(1) == self.rows] = math.inf
        found = {}
        for m, name in enumerate(batch.names):
            if wanted[:, m].any():
                near, places = distances[wanted[:, m]][:, self.present[:, m]].sort(dim=1, stable=True)
                kept = near[:, : self.k].isfinite()
                joined = [self._joined(name, row[keep]) for row, keep in zip(places[:, : self.k], kept, strict=True)]
                found[name] = torch.stack(joined)
        return found

    def _joined(self, name: str, rows: Tensor) -> Tensor:
        """One value (*event) of neighbours, given as places among the rows that have the modality."""
        modality, baseline = self.run.modalities[name], self.run.baselines[name]
        if not len(rows):
            return baseline
        x = self._values[name].index_select(0, rows)
        return modality.baseline([modality.filled(x, baseline.expand_as(x))]).to(baseline)


def _projection(modality: Modality, seed: int) -> Tensor | None:
    """A random projection that keeps distances nearly as they are (Johnson & Lindenstrauss 1984), where needed."""
    size = modality.condition_size
    if size <= _MOST_FEATURES:
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, _MOST_FEATURES, generator=generator) / math.sqrt(_MOST_FEATURES)
