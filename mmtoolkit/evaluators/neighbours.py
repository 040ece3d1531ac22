"""The nearest training rows, as a baseline for missing cells that needs no training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmtoolkit.components import Modality, Run
from mmtoolkit.components.evaluator import seen_by_model
from mmtoolkit.core.batch import Batch, sent
from mmtoolkit.evaluators.hiding import count_parts

_MOST_FEATURES = 512  # a modality; more are projected to so many, which changes squared distances by some 6 %
_ROWS_AT_ONCE = 100


class Neighbours:
    """The k nearest training rows, compared by the modalities that both rows have.

    The squared distance of two rows is the mean over these modalities of the squared Euclidean distance between their
    `Modality.condition` features, divided by its mean over pairs of training rows, so that all modalities weigh the
    same. If each modality is one number, it is the nan-Euclidean distance between standardised columns (Troyanskaya
    et al. 2001). Values of P parts are compared by the parts that both know, and their distance is multiplied by P over
    the number of these.

    Args:
        run: has the training rows.
        rows: (N,) int64, candidates; among equally near rows, the first ones count.
        k: the number of neighbours; fewer if fewer rows have the modality and share one with the row.
    """

    def __init__(self, run: Run, rows: Tensor, k: int) -> None:
        self.run, self.rows, self.k = run, rows, k
        modalities = run.model.modalities
        self.present = seen_by_model(run, "train")[rows]
        self._parted = {name for name, modality in modalities.items() if count_parts(modality) > 1}
        self._projections = {
            name: _projection(modality, run.generator.initial_seed())
            for name, modality in modalities.items()
            if name not in self._parted
        }
        features: dict[str, list[Tensor]] = {name: [] for name in modalities}
        values: dict[str, list[Tensor]] = {name: [] for name in modalities}
        for batch in run.batches("train", rows.split(_ROWS_AT_ONCE)):
            for name in batch.names:
                if len(batch.rows(name)):
                    values[name].append(batch.value(name).cpu())
                    if name not in self._parted:
                        features[name].append(self._read_features(name, batch))
        self._values = {name: torch.cat(parts) for name, parts in values.items() if parts}
        self._features: dict[str, Tensor] = {}  # (N, features); zero if a row lacks the modality
        self._spread: dict[str, float] = {}  # the mean squared distance of two rows
        for m, name in enumerate(modalities):
            if features[name]:
                x = torch.cat(features[name])
                # A modality that is the same in all rows adds no distance.
                self._spread[name] = 2 * float(x.var(0, correction=0).sum()) or math.inf
                places = sent(self.present[:, m].nonzero().squeeze(1), x.device)
                self._features[name] = x.new_zeros(len(rows), x.shape[1]).index_copy(0, places, x)
            elif name in self._parted and name in self._values:
                x = self._values[name]  # in random order: x and its roll are pairs of rows
                apart = self._apart_in_parts(name, x, x.roll(1, 0))
                comparable = apart[apart.isfinite()]
                self._spread[name] = float(comparable.sum()) / max(len(comparable), 1) or math.inf

    def _read_features(self, name: str, batch: Batch) -> Tensor:
        """The features of a batch's present values: (N, features), float64."""
        condition = self.run.modalities[name].condition(batch.value(name))
        projection = self._projections[name]
        return (condition if projection is None else condition @ sent(projection, condition.device)).double()

    def _apart_in_parts(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """Squared distances (N,) of values x and y (N, *event) by the parts that both know; inf if there is none."""
        modality = self.run.modalities[name]
        both = modality.known_parts(x) & modality.known_parts(y)
        x, y = (modality.condition(modality.without_parts(value, ~both)).double() for value in (x, y))
        shared = both.sum(1)
        share = both.shape[1] / shared.clamp(min=1)
        return torch.where(shared > 0, (x - y).square().sum(1) * share, math.inf)

    def distances(self, batch: Batch) -> Tensor:
        """Squared distances from a batch's rows to the candidates, (B, N) on the host; inf if no modality is shared."""
        total = torch.zeros(batch.size, len(self.rows), dtype=torch.float64)
        shared = torch.zeros_like(total)
        for m, name in enumerate(batch.names):
            if name not in self._spread or not len(rows := batch.rows(name)):
                continue
            if name in self._parted:
                apart = torch.full((len(rows), len(self.rows)), math.inf, dtype=torch.float64)
                own = self._values[name]
                for place, value in enumerate(batch.value(name).cpu()):
                    apart[place, self.present[:, m]] = self._apart_in_parts(name, own, value.expand_as(own))
            else:
                features = self._read_features(name, batch)
                apart = torch.cdist(features, self._features[name], compute_mode="donot_use_mm_for_euclid_dist")
                apart = torch.where(self.present[:, m], apart.square().cpu(), math.inf)
            comparable = apart.isfinite()
            total.index_add_(0, rows, torch.where(comparable, apart / self._spread[name], 0.0))
            shared.index_add_(0, rows, comparable.double())
        return torch.where(shared > 0, total / shared.clamp(min=1), math.inf)

    def predict(self, batch: Batch, targets: Tensor, itself: Tensor | None = None) -> dict[str, Tensor]:
        """Predict cells by the `Modality.baseline`, mean or mode, of the neighbours' values.

        Each part of a value has the nearest rows that know it. Without any, the training mean or mode stands for it.

        Args:
            batch: B rows, without what is to be predicted.
            targets: (B, M) bool, the cells to predict, or of which a part is to be predicted, on the host.
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
                values = [self._average(name, row[apart.isfinite()]) for row, apart in zip(places, near, strict=True)]
                predictions[name] = torch.stack(values)
        return predictions

    def _average(self, name: str, rows: Tensor) -> Tensor:
        """The mean or mode (*event) of neighbours, given as places among the rows that have the modality.

        They come in order of their distance; the k first ones that know a part count for it.
        """
        modality, baseline = self.run.modalities[name], self.run.baselines[name]
        if name in self._parted:
            return self._average_parts(modality, self._values[name].index_select(0, rows), baseline)
        if not len(rows):
            return baseline
        x = self._values[name].index_select(0, rows[: self.k])
        return modality.baseline([modality.filled(x, baseline.expand_as(x))]).to(baseline)

    def _average_parts(self, modality: Modality, x: Tensor, baseline: Tensor) -> Tensor:
        """The mean or mode (*event), part by part, of the first k values of x (N, *event) that know the part."""
        known = modality.known_parts(x)
        known &= known.cumsum(0) <= self.k
        unknown = ~known.any(0, keepdim=True)
        if unknown.all():
            return baseline
        used = known.any(1)
        average = modality.baseline([modality.without_parts(x[used], ~known[used])]).to(baseline)
        return modality.filled(modality.without_parts(average[None], unknown), baseline[None])[0]


def _projection(modality: Modality, seed: int) -> Tensor | None:
    """A random projection that nearly preserves distances (Johnson & Lindenstrauss 1984); None for few features."""
    size = modality.condition_size
    if size <= _MOST_FEATURES:
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, _MOST_FEATURES, generator=generator) / math.sqrt(_MOST_FEATURES)
