"""Scores of point predictions of one modality, next to those of its training mean or mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from mmtoolkit.components import Modality
from mmtoolkit.components.means import MeanWithError

if TYPE_CHECKING:
    from torch.distributions import Distribution
    from torchmetrics import Metric

    from mmtoolkit.base.better import Better


class PointScores:
    """A modality's `scores` and `metrics` for predictions, batch by batch.

    Args:
        modality: the predicted one.
        baseline: its training mean or mode (*event).
        details: whether to add its `detailed_scores`.
    """

    def __init__(self, modality: Modality, baseline: Tensor, details: bool = False) -> None:
        self.modality, self.baseline, self.details = modality, baseline, details
        self.metrics = modality.metrics()
        self.means: dict[str, MeanWithError] = {}
        self.baselines: dict[str, MeanWithError] = {}
        self.others: dict[str, dict[str, MeanWithError]] = {}
        self.rows = 0

    def add(
        self,
        p: Distribution,
        x: Tensor,
        rows: Tensor,
        draws: int = 1,
        predict: Literal["point", "sample", "pooled"] = "point",
    ) -> None:
        """Add the predictions of some rows.

        Args:
            p: over draws * B rows, draw-major.
            x: (n, *event), the true values of n of the B rows.
            rows: (n,) int64, the places of these rows, on the device.
            draws: the number of draws; the score of a row is the mean over them.
            predict: whether to predict the point of p, or a sample, or one point of all draws together.
        """
        if predict == "pooled":
            points = self.modality.pooled(p, draws).unsqueeze(0)
        else:
            points = (self.modality.point(p) if predict == "point" else p.sample()).unflatten(0, (draws, -1))
        by_draw = [self._score(point.index_select(0, rows), x) for point in points]
        _add(self.means, {name: torch.stack([scores[name] for scores in by_draw]).mean(0) for name in by_draw[0]})
        _add(self.baselines, self._score(self.baseline.to(x.device).expand(len(x), *self.baseline.shape), x))
        self.rows += len(x)
        if self.metrics:
            average = _rows_of(self.modality.average(p, draws), rows)
            for metric in self.metrics.values():
                metric.to(x.device).update(average, x)

    def compare(self, name: str, point: Tensor, x: Tensor) -> None:
        """Add predictions (n, *event) by another method; its mean scores are listed under its name."""
        _add(self.others.setdefault(name, {}), self._score(point, x))

    def _score(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        details = self.modality.detailed_scores(point, x) if self.details else {}
        return {**self.modality.scores(point, x), **details}

    def results(self) -> list[dict[str, Any]]:
        """{metric, better, value, stderr, examples, baseline} for each metric, and the value of each other method.

        `better` is None if the modality does not say it. Without rows there is one result without a metric.
        """
        if not self.rows:
            nothing = dict.fromkeys(("metric", "better", "value", "stderr", "examples", "baseline"))
            return [{**nothing, "examples": 0}]
        better = self.modality.better()
        results: list[dict[str, Any]] = [
            {
                "metric": metric,
                "better": better.get(metric),
                **mean.compute(),
                "baseline": self.baselines[metric].compute()["value"],
                **{name: means[metric].compute()["value"] for name, means in self.others.items()},
            }
            for metric, mean in self.means.items()
        ]
        for name, metric in self.metrics.items():
            scores = {"value": float(metric.compute()), "stderr": None, "examples": self.rows, "baseline": None}
            results.append({"metric": name, "better": _direction(metric), **scores})
        return results


def _direction(metric: Metric) -> Better | None:
    if metric.higher_is_better is None:
        return None
    return "high" if metric.higher_is_better else "low"


def _add(means: dict[str, MeanWithError], scores: dict[str, Tensor]) -> None:
    for metric, values in scores.items():
        means.setdefault(metric, MeanWithError()).update(values)


def _rows_of(average: Any, rows: Tensor) -> Any:
    if isinstance(average, tuple):
        return tuple(part.index_select(0, rows) for part in average)
    return average.index_select(0, rows)
