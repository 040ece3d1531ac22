"""Mean and spread of columns of numbers, learned chunk by chunk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-50
"""The least spread of a column; one that is smaller counts as none."""
_QUARTILES_APART = 1.3489795003921634  # of a normal distribution, in standard deviations
_MOST_VALUES = 1 << 20


class Moments:
    """Mean and spread of K numbers, chunk by chunk, without cancellation (Chan et al. 1983)."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.squares = (np.zeros(size) for _ in range(3))
        self.low, self.high = np.full(size, np.inf), np.full(size, -np.inf)

    def add(self, values: NDArray[np.float64], known: NDArray[np.bool_]) -> None:
        """Rows (N, K) and which are known."""
        count = known.sum(0)
        mean = np.where(known, values, 0).sum(0) / np.maximum(count, 1)
        squares = (np.where(known, values - mean, 0) ** 2).sum(0)
        total = np.maximum(self.count + count, 1)
        off = mean - self.mean
        self.squares += squares + off**2 * self.count * count / total
        self.mean += off * count / total
        self.count += count
        self.low = np.minimum(self.low, np.where(known, values, np.inf).min(0))
        self.high = np.maximum(self.high, np.where(known, values, -np.inf).max(0))

    def result(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The means, and the standard deviations: 1 where all numbers are the same."""
        mean = np.clip(self.mean, self.low, self.high)  # of equal numbers it is that number
        std = np.sqrt(self.squares / self.count)
        std = np.where((self.low == self.high) | (std < SMALLEST), 1.0, std)
        return tuple(mean.tolist()), tuple(std.tolist())


class Quartiles:
    """Median and quartiles of K numbers, chunk by chunk: of all, or of an even share of many."""

    def __init__(self, size: int) -> None:
        self.samples: list[list[NDArray[np.float64]]] = [[] for _ in range(size)]
        self.every = [1] * size

    def add(self, values: NDArray[np.float64], known: NDArray[np.bool_]) -> None:
        """Rows (N, K) and which are known."""
        for k, sample in enumerate(self.samples):
            sample.append(values[known[:, k], k][:: self.every[k]])
            if sum(map(len, sample)) > _MOST_VALUES:
                sample[:] = [np.concatenate(sample)[::2]]
                self.every[k] *= 2

    def result(self, mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The medians, and the standard deviations of normal distributions with these quartiles.

        Where half of the numbers are the same, so that the quartiles say nothing, it is `mean` and `std`.
        """
        quartiles = [np.quantile(np.concatenate(sample), (0.25, 0.5, 0.75)).tolist() for sample in self.samples]
        robust = [(middle, (high - low) / _QUARTILES_APART) for low, middle, high in quartiles]
        both = [
            given if spread < SMALLEST else (middle, spread)
            for (middle, spread), given in zip(robust, zip(mean, std, strict=True), strict=True)
        ]
        return tuple(middle for middle, _ in both), tuple(spread for _, spread in both)


class Standardisation:
    """What to take away from K numbers and to divide them by: mean and spread, or median and quartiles.

    Args:
        size: K.
        robust: whether the quartiles count, since outliers would make all other numbers look alike.
    """

    def __init__(self, size: int, robust: bool) -> None:
        self._moments = Moments(size)
        self._quartiles = Quartiles(size) if robust else None

    @property
    def count(self) -> NDArray[np.float64]:
        """How many of each number there were, (K,)."""
        return self._moments.count

    def add(self, values: NDArray[np.float64], known: NDArray[np.bool_]) -> None:
        """Rows (N, K) and which are known."""
        self._moments.add(values, known)
        if self._quartiles is not None:
            self._quartiles.add(values, known)

    def result(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What to take away, and what to divide by; each number must have occurred."""
        result = self._moments.result()
        return result if self._quartiles is None else self._quartiles.result(*result)
