"""Precision, recall, density and coverage of features of generated values among real ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor

from mmtoolkit.components.means import MeanWithError
from mmtoolkit.evaluators.generated import GeneratedValues

_ROWS_AT_ONCE = 500


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, Tensor]:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) of each row.

    The ball of a point has its k-th nearest neighbour within its own set as radius; what is nearer than that is inside,
    and what is at the point itself. `precision` is 1 for a fake point inside the ball of any real one; `recall` is 1
    for a real point inside the ball of any fake one; `density` of a fake point is the number of real balls that it is
    in, over k; `coverage` is 1 for a real point whose ball has a fake one inside. Of identical sets of different points
    all four are 1 on average; density has no upper bound.

    Args:
        real: (N, F), N > k.
        fake: (M, F), M > k.
        k: how many neighbours.

    Returns:
        name -> float64; their means are the scores. `precision` and `density` are (M,), `recall` and `coverage` (N,).

    Raises:
        ValueError: there are too few points.
    """
    for points in (real, fake):
        if len(points) <= k:
            raise ValueError(f"{k} neighbours need {k + 1} points or more, and there are {len(points)}; lower k")
    real, fake = real.double(), fake.double()
    real_radius, fake_radius = _radii(real, k), _radii(fake, k)
    precision, density = torch.zeros(2, len(fake), dtype=torch.float64, device=fake.device)
    recall, coverage = torch.zeros(2, len(real), dtype=torch.float64, device=real.device)
    for rows in torch.arange(len(real), device=real.device).split(_ROWS_AT_ONCE):
        distance = _distances(real[rows], fake)  # (n, M)
        in_real = (distance < real_radius[rows, None]) | (distance == 0)
        in_fake = (distance < fake_radius) | (distance == 0)
        density += in_real.sum(0) / k
        precision = torch.maximum(precision, in_real.any(0).double())
        recall[rows], coverage[rows] = in_fake.any(1).double(), in_real.any(1).double()
    return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """Euclidean distances (N, M), exactly 0 for equal points."""
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")


def _radii(points: Tensor, k: int) -> Tensor:
    """The distance of each point to its k-th nearest neighbour, itself apart: (N,)."""
    return torch.cat([_distances(part, points).kthvalue(k + 1, dim=1).values for part in points.split(_ROWS_AT_ONCE)])


class Prdc(GeneratedValues):
    """Precision, recall, density and coverage of generated values, by nearest neighbours of their features.

    Precision and density say how real generated values look, and recall and coverage how much of the variety of real
    values is generated (Kynkäänniemi et al. 2019; Naeem et al. 2020). A model that generates the mean of each class
    has a high precision, and covers little.

    The default entries are each target of several numbers, such as a picture, from the prior, from each single other
    unit, from all others, and from itself. A row counts if it has the target and any of the given.
    """

    kind: Literal["prdc"] = "prdc"

    k: PositiveInt = 5
    """The number of nearest neighbours."""

    @model_validator(mode="after")
    def _more_rows_than_neighbours(self) -> Prdc:
        if self.rows <= self.k:
            raise ValueError(f"k: {self.k} neighbours need {self.k + 1} rows or more, and rows is {self.rows}; lower k")
        return self

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One that trains no judges, on few rows."""
        return (cls(features="values", k=3),)

    def too_few(self, rows: int) -> str:
        """There must be more than neighbours."""
        return "" if rows > self.k else f"k: {self.k} neighbours need {self.k + 1}; lower k"

    def compare(self, real: Tensor, generated: Tensor) -> list[dict[str, Any]]:
        """The four scores. Each error is that of a mean over rows, for the other set as it is."""
        results = []
        for metric, of_rows in prdc(real, generated, self.k).items():
            mean = MeanWithError()
            mean.update(of_rows)
            scores = mean.compute()
            results.append({"metric": metric, "better": "high", "value": scores["value"], "stderr": scores["stderr"]})
        return results
