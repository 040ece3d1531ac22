"""The scores of point predictions of one modality, beside those of its training mean or mode."""

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
    """What a modality's `scores` and `metrics` say of predictions, batch by batch.

    Args:
        modality: that is predicted.
        baseline: its training mean or mode (*event).
        details: whether its `detailed_scores` are asked too.
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
        predict: Literal["point", "sample"] = "point",
    ) -> None:
        """Add the predictions of some rows.

        Args:
            p: over draws * B rows, draw-major.
            x: (n, *event), the truth of some of the B rows.
            rows: (n,) int64, which of the B rows these are, on the device.
            draws: how many; the score of a row is the mean over them.
            predict: whether a draw's prediction is the point of p, or a sample.
        """
        point = self.modality.point(p) if predict == "point" else p.sample()
        by_draw = [self._scored(draw.index_select(0, rows), x) for draw in point.unflatten(0, (draws, -1))]
        _add(self.means, {name: torch.stack([scores[name] for scores in by_draw]).mean(0) for name in by_draw[0]})
        _add(self.baselines, self._scored(self.baseline.to(x.device).expand(len(x), *self.baseline.shape), x))
        self.rows += len(x)
        if self.metrics:
            average = _rows_of(self.modality.average(p, draws), rows)
            for metric in self.metrics.values():
                metric.to(x.device).update(average, x)

    def compare(self, name: str, point: Tensor, x: Tensor) -> None:
        """Add predictions (n, *event) of some rows by another method, whose mean scores stand under its name."""
        _add(self.others.setdefault(name, {}), self._scored(point, x))

    def _scored(self, point: Tensor, x: Tensor) -> dict[str, Tensor]:
        details = self.modality.detailed_scores(point, x) if self.details else {}
        return {**self.modality.scores(point, x), **details}

    def results(self) -> list[dict[str, Any]]:
        """{metric, better, value, stderr, examples, baseline} of each metric, and the value of each other method.

        `better` is None where the modality does not say it. One without a metric where no row was added.
        """
        if not self.rows:
            nothing = dict.fromkeys(("metric", "better", "value", "stderr", "examples", "baseline"))
            return [{**nothing, "examples": 0}]
        better = self.modality.better()
        found: list[dict[str, Any]] = [
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
            found.append({"metric": name, "better": _direction(metric), **scores})
        return found


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
