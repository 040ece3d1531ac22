"""Lets batch normalisation work in calls with too few rows, for any network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def _enough(x: Tensor) -> bool:
    """Whether x (N, C, ...) has at least two values for each channel."""
    return x.numel() // x.shape[1] >= 2


def _before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if module.training and not _enough(inputs[0]):
        # Not `train(False)`, which a subclass may override.
        module.training = False
        module._mmt_resting = True  # type: ignore[assignment]


def _after(module: nn.Module, *_: Any) -> None:
    if getattr(module, "_mmt_resting", False):
        module.training = True
        module._mmt_resting = False  # type: ignore[assignment]


def guard_normalisation(networks: nn.Module) -> None:
    """Make batch normalisation use its running statistics in calls with fewer than two values per channel.

    If few rows have a modality, a training step may have only one of them. Batch normalisation then has no variance
    and raises. In such a call a guarded layer uses its running statistics and does not update them. The plain layers
    of a plugin need no change, and the keys of the state dict stay the same. The function skips layers without
    running statistics, and layers that it has guarded before.
    """
    for module in networks.modules():
        guarded = _before in module._forward_pre_hooks.values()
        if isinstance(module, _BatchNorm) and module.track_running_stats and not guarded:
            module.register_forward_pre_hook(_before)
            module.register_forward_hook(_after, always_call=True)
