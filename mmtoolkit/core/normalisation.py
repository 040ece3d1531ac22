"""Batch normalisation when a call has too few rows, once for all networks."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def _enough(x: Tensor) -> bool:
    """Whether x (N, C, ...) has at least two values for each channel."""
    return x.numel() // x.shape[1] >= 2


def _before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if module.training and not _enough(inputs[0]):
        # `train(False)` would do, but for subclasses that override it.
        module.training = False
        module._mmt_resting = True  # type: ignore[assignment]


def _after(module: nn.Module, *_: Any) -> None:
    if getattr(module, "_mmt_resting", False):
        module.training = True
        module._mmt_resting = False  # type: ignore[assignment]


def guard_normalisation(networks: nn.Module) -> None:
    """Let batch normalisation rest in calls that give it fewer than two values per channel.

    A modality that few rows have may meet a training step with one row, where batch normalisation has no
    variance and raises. In such a call each layer that keeps running statistics uses those and leaves them as
    they are. Plain layers of plugins work unchanged, and the keys of the state dict stay the same. Layers that are
    guarded already are left alone.
    """
    for module in networks.modules():
        guarded = _before in module._forward_pre_hooks.values()
        if isinstance(module, _BatchNorm) and module.track_running_stats and not guarded:
            module.register_forward_pre_hook(_before)
            module.register_forward_hook(_after, always_call=True)
