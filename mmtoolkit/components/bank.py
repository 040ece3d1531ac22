"""Modalities of which several can be run at once, as a bank."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Distribution


class Banked(ABC):
    """A modality whose networks run together with those of others of the same options.

    n modalities that differ in name, column and weight alone then take one call instead of n. The weights stay in the
    n modules, as `encoder` and `decoder` made them; the results equal those of n calls on the valid rows, and
    what stands in other rows changes nothing.
    """

    @abstractmethod
    def encode_bank(self, encoders: Sequence[nn.Module], x: Tensor, valid: Tensor) -> Tensor:
        """Features (n, N, width) of x (n, N, *event), of which valid (n, N) says what counts."""

    @abstractmethod
    def decode_bank(self, decoders: Sequence[nn.Module], z: Tensor, valid: Tensor) -> Distribution:
        """The likelihoods for z (n, N, size), valid (n, N): batch (n, N), event (*event)."""
