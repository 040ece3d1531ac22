"""Mean and spread of channels of numbers, learned chunk by chunk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-50
"""The least spread of a channel; one that is smaller counts as none."""
_QUARTILES_APART = 1.3489795003921634  # of a normal distribution, in standard deviations
_MOST_OF_A_CHUNK = 1 << 16


class Spread:
    """Mean and standard deviation of each channel, or what stands for them where quartiles say more.

    Args:
        channels: how many there are.
        robust: whether to take the median and the quartiles, which outliers do not move.
    """

    def __init__(self, channels: int, robust: bool) -> None:
        self._robust = robust
        self._chunks: list[list[tuple[int, float, float]]] = [[] for _ in range(channels)]
        self._samples: list[list[NDArray[np.float64]]] = [[] for _ in range(channels)]

    def add(self, values: NDArray[np.float64]) -> None:
        """Add numbers (n, C) of a chunk, NaN where unknown."""
        for chunks, samples, column in zip(self._chunks, self._samples, values.T, strict=True):
            known = column[~np.isnan(column)]
            if len(known):
                chunks.append((len(known), known.mean(), known.var()))
                samples.append(known[:: len(known) // _MOST_OF_A_CHUNK + 1] if self._robust else known[:0])

    def empty(self) -> int | None:
        """The first channel without a number; None if all have some."""
        return next((channel for channel, chunks in enumerate(self._chunks) if not chunks), None)

    def result(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The means, and the standard deviations: 1 where all numbers are the same.

        With `robust`, the medians, and the standard deviations of normal distributions with these quartiles, unless
        half of the numbers are the same.
        """
        pairs = [self._of(*channel) for channel in zip(self._chunks, self._samples, strict=True)]
        return tuple(mean for mean, _ in pairs), tuple(std for _, std in pairs)

    def _of(self, chunks: list[tuple[int, float, float]], samples: list[NDArray[np.float64]]) -> tuple[float, float]:
        if self._robust:
            low, middle, high = np.quantile(np.concatenate(samples), (0.25, 0.5, 0.75)).tolist()
            if (spread := (high - low) / _QUARTILES_APART) >= SMALLEST:
                return middle, spread
        counts, means, variances = (np.array(parts, dtype=np.float64) for parts in zip(*chunks, strict=True))
        mean = float(np.average(means, weights=counts))
        # The variance within the chunks, and that of their means.
        std = float(np.sqrt(np.average(variances + (means - mean) ** 2, weights=counts)))
        return mean, 1.0 if std < max(SMALLEST, 1e-14 * abs(mean)) else std
