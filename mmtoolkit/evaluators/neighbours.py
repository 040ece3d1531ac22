"""The nearest training rows, as a baseline for missing cells that needs no training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmtoolkit.components import Modality, Run
from mmtoolkit.core.batch import Batch, sent

_MOST_FEATURES = 512  # a modality; more are projected to so many, which changes squared distances by some 6 %
_ROWS_AT_ONCE = 100


class Neighbours:
    """The k nearest training rows, compared by the modalities that both rows have.

    The squared distance of two rows is the mean over these modalities of the squared Euclidean distance between their
    `Modality.condition` features, divided by its mean over pairs of training rows, so that all modalities weigh the
    same. If each modality is one number, it is the nan-Euclidean distance between standardised columns (Troyanskaya
    et al. 2001).

    Args:
        run: has the training rows.
        rows: (N,) int64, candidates; among equally near rows, the first ones count.
        k: the number of neighbours; fewer if fewer rows have the modality and share one with the row.
    """

    def __init__(self, run: Run, rows: Tensor, k: int) -> None:
        self.run, self.rows, self.k = run, rows, k
        self.present = run.present["train"][rows]
        self._projections = {
            name: _projection(modality, run.generator.initial_seed()) for name, modality in run.modalities.items()
        }
        features: dict[str, list[Tensor]] = {name: [] for name in run.modalities}
        values: dict[str, list[Tensor]] = {name: [] for name in run.modalities}
        for batch in run.batches("train", rows.split(_ROWS_AT_ONCE)):
            for name in batch.names:
                if len(batch.rows(name)):
                    features[name].append(self._read_features(name, batch))
                    values[name].append(batch.value(name).cpu())
        self._values = {name: torch.cat(parts) for name, parts in values.items() if parts}
        self._features: dict[str, Tensor] = {}  # (N, features); zero if a row lacks the modality
        self._spread: dict[str, float] = {}  # the mean squared distance of two rows
        for m, name in enumerate(run.modalities):
            if features[name]:
                x = torch.cat(features[name])
                # A modality that is the same in all rows adds no distance.
                self._spread[name] = 2 * float(x.var(0, correction=0).sum()) or math.inf
                places = sent(self.present[:, m].nonzero().squeeze(1), x.device)
                self._features[name] = x.new_zeros(len(rows), x.shape[1]).index_copy(0, places, x)

    def _read_features(self, name: str, batch: Batch) -> Tensor:
        """The features of a batch's present values: (N, features), float64."""
        condition = self.run.modalities[name].condition(batch.value(name))
        projection = self._projections[name]
        return (condition if projection is None else condition @ sent(projection, condition.device)).double()

    def distances(self, batch: Batch) -> Tensor:
        """Squared distances from a batch's rows to the candidates, (B, N) on the host; inf if no modality is shared."""
        total = torch.zeros(batch.size, len(self.rows), dtype=torch.float64)
        shared = torch.zeros_like(total)
        for m, name in enumerate(batch.names):
            if name not in self._features or not len(rows := batch.rows(name)):
                continue
            features, present = self._read_features(name, batch), self.present[:, m]
            apart = torch.cdist(features, self._features[name], compute_mode="donot_use_mm_for_euclid_dist")
            total.index_add_(0, rows, torch.where(present, apart.square().cpu() / self._spread[name], 0.0))
            shared.index_add_(0, rows, present.double().expand(len(rows), -1))
        return torch.where(shared > 0, total / shared.clamp(min=1), math.inf)

    def predict(self, batch: Batch, targets: Tensor, itself: Tensor | None = None) -> dict[str, Tensor]:
        """Predict cells by the `Modality.baseline`, mean or mode, of the neighbours' values.

        Unknown entries of a neighbour's vector count as the training mean or mode; so does a cell without neighbours.

        Args:
            batch: B rows, without the target cells.
            targets: (B, M) bool, the cells to predict, on the host.
            itself: (B,) int64, the rows' numbers if they are training rows: a row is not its own neighbour.

        Returns:
            name -> (n, *event) for the n rows with this target; modalities without targets are left out.
        """
        distances = self.distances(batch)
        if itself is not None:
            distances[itself.unsqueeze(1) == self.rows] = math.inf
        predictions = {}
        for m, name in enumerate(batch.names):
            if targets[:, m].any():
                near, places = distances[targets[:, m]][:, self.present[:, m]].sort(dim=1, stable=True)
                finite = near[:, : self.k].isfinite()
                values = [self._average(name, row[mask]) for row, mask in zip(places[:, : self.k], finite, strict=True)]
                predictions[name] = torch.stack(values)
        return predictions

    def _average(self, name: str, rows: Tensor) -> Tensor:
        """The mean or mode (*event) of neighbours, given as places among the rows that have the modality."""
        modality, baseline = self.run.modalities[name], self.run.baselines[name]
        if not len(rows):
            return baseline
        x = self._values[name].index_select(0, rows)
        return modality.baseline([modality.filled(x, baseline.expand_as(x))]).to(baseline)


def _projection(modality: Modality, seed: int) -> Tensor | None:
    """A random projection that nearly preserves distances (Johnson & Lindenstrauss 1984); None for few features."""
    size = modality.condition_size
    if size <= _MOST_FEATURES:
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, _MOST_FEATURES, generator=generator) / math.sqrt(_MOST_FEATURES)
