"""A run's checkpoint: everything that an exact resume needs, as one folder swapped in whole."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import replacing_folder, set_aside
from mmtoolkit.base.words import error_text
from mmtoolkit.training.weights import load_weights, to_bytes


def _folder(run: Path) -> Path:
    """Where the checkpoint stands: aside, if a kill came between the two renames of a swap."""
    folder = run / "checkpoint"
    return folder if folder.exists() else set_aside(folder)


def has_checkpoint(run: Path) -> bool:
    """Whether a run folder has a checkpoint."""
    return _folder(run).exists()


def save_checkpoint(run: Path, network: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put weights, optimiser and `state`, which is plain data, in the place of the last checkpoint.

    Raises:
        UserError: it cannot be written; the last one stays.
    """
    with replacing_folder(run / "checkpoint") as new:
        (new / "weights.safetensors").write_bytes(to_bytes(network))
        packed = io.BytesIO()  # a full disk is then told by our own write, as anywhere else
        torch.save(optimizer.state_dict(), packed)
        (new / "optimizer.pt").write_bytes(packed.getbuffer())
        (new / "state.json").write_text(json.dumps(state, allow_nan=False), encoding="utf-8")


def load_checkpoint(run: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Fill network and optimiser from the checkpoint, written on any device; its state, or None where there is none.

    Raises:
        UserError: it is damaged.
    """
    folder = _folder(run)
    if not folder.exists():
        return None
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        load_weights(network, folder / "weights.safetensors")
        optimizer.load_state_dict(torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True))
    except Exception as error:  # JSON, the file system and PyTorch each have their own
        raise UserError(f"{folder}: is damaged: {error_text(error)}; remove it to start again") from error
    return state
