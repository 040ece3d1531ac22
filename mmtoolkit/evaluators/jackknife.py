"""Standard errors of scores that are no mean over rows, by leaving out groups of rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

GROUPS = 10
_ROUNDING = 1e-12  # a statistic that differs by less is the same


def jackknife(rows: int, statistic: Callable[[Tensor], float]) -> float | None:
    """The standard error of a statistic of rows, by the delete-a-group jackknife (Kott 2001) with ten groups.

    With g groups, of which each is left out in turn, it is sqrt((g - 1) / g sum_j (t_j - mean t)²). The rows must be
    in no order that matters: row i is in the group i mod 10.

    Args:
        rows: how many there are.
        statistic: of the rows at places (n,) int64, ascending.

    Returns:
        None if there are fewer rows than twice the groups, or a statistic is not finite.
    """
    if rows < 2 * GROUPS:
        return None
    places = torch.arange(rows)
    values = torch.tensor([statistic(places[places % GROUPS != group]) for group in range(GROUPS)], dtype=torch.float64)
    error = math.sqrt(float((values - values.mean()).square().sum()) * (GROUPS - 1) / GROUPS)
    if not math.isfinite(error):
        return None
    return error if error > _ROUNDING * float(values.abs().max()) else 0.0
