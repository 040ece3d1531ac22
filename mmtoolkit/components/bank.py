"""Banks: the networks of several like modalities, run in one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Distribution


class Banked(ABC):
    """A modality whose networks can run together with those of others with the same options.

    n modalities that differ only in name, column, missing and weight then take one call instead of n. The weights stay
    in the n modules that `encoder` and `decoder` return. On valid rows the results equal those of n separate calls;
    the values of other rows change nothing.
    """

    @abstractmethod
    def encode_bank(self, encoders: Sequence[nn.Module], x: Tensor, valid: Tensor) -> Tensor:
        """Encode x (n, N, *event) to features (n, N, width). valid (n, N) bool says which rows count."""

    @abstractmethod
    def decode_bank(self, decoders: Sequence[nn.Module], z: Tensor, valid: Tensor) -> Distribution:
        """Decode z (n, N, size) to likelihoods: batch (n, N), event (*event). valid (n, N) bool: which rows count."""
