"""What an exported posterior returns besides its mean, variance and point: what a mixture or blocks are made of."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from torch import Tensor

from mmtoolkit.core.blocks import Blocks
from mmtoolkit.core.laplace import Laplace
from mmtoolkit.core.mixtures import Mixture
from mmtoolkit.core.posterior import Gaussian

Family = dict[str, Any]
"""A family in JSON, such as {"family": "mixture", "parts": {"family": "gaussian"}}."""


@singledispatch
def family_of(q: Any) -> tuple[Family, dict[str, Tensor]]:
    """The family of a posterior in JSON, and its further parameters, name -> (B, ...).

    Default: the name of its class, and no parameters. A plugin registers that of a class of its own, with
    `family_of.register`.
    """
    return {"family": type(q).__name__.lower()}, {}


@family_of.register
def _(q: Gaussian) -> tuple[Family, dict[str, Tensor]]:
    return {"family": "gaussian"}, {}


@family_of.register
def _(q: Laplace) -> tuple[Family, dict[str, Tensor]]:
    return {"family": "laplace"}, {}


@family_of.register
def _(q: Mixture) -> tuple[Family, dict[str, Tensor]]:
    parts, _ = family_of(q.parts)
    return {"family": "mixture", "parts": parts}, {
        "shares": q.shares.T,
        "part_mean": q.parts.mean.transpose(0, 1),
        "part_variance": q.parts.variance.transpose(0, 1),
    }


@family_of.register
def _(q: Blocks) -> tuple[Family, dict[str, Tensor]]:
    families: list[Family] = []
    parameters: dict[str, Tensor] = {}
    start = 0
    for place, block in enumerate(q.parts):
        family, own = family_of(block)
        stop = start + int(block.mean.shape[-1])
        families.append({**family, "columns": [start, stop]})
        parameters |= {f"block_{place}.{name}": value for name, value in own.items()}
        start = stop
    return {"family": "blocks", "blocks": families}, parameters
