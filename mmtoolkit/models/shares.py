"""The shares of the parts of a mixture in rows that lack some of them."""

from __future__ import annotations

from torch import Tensor


def shares_of(members: Tensor, weights: Tensor | None = None) -> Tensor:
    """The share of each part in each row: (S, B) float64, on the device of the members.

    A row without any part has the first, which a model makes N(0, I) there.

    Args:
        members: (S, B) bool: which parts a row has.
        weights: positive, (S,), on the same device. By default equal.
    """
    shares = members.double() if weights is None else members * weights.double().unsqueeze(1)
    shares[0] += ~members.any(0)
    return shares / shares.sum(0)
