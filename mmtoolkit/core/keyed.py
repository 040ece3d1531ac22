"""Random numbers from a key: a row with the same key gets the same draw each time."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _shifted(x: Tensor, bits: int) -> Tensor:
    """X >> bits as if x were unsigned; int64 is the only such type that PyTorch multiplies on every device."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014), modulo 2^64."""
    x = (x ^ _shifted(x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shifted(x, 27)) * -0x6B2FB644ECCEEE15
    return x ^ _shifted(x, 31)


def keyed_uniform(keys: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform numbers in [0, 1) that depend only on the key and the place, the same on every device.

    Args:
        keys: (N,) int64.
        shape: the shape of one row's draws.

    Returns:
        (N, *shape) float32.
    """
    golden = -0x61C8864680B583EB  # 2^64 divided by the golden ratio, SplitMix64's step
    places = torch.arange(1, math.prod(shape) + 1, device=keys.device) * golden
    mixed = _mixed(_mixed(keys.unsqueeze(1)) + places)
    return (_shifted(mixed, 40).float() * 2.0**-24).reshape(-1, *shape)
