"""The checkpoint of a run: all that an exact resume needs, in one folder that is replaced as a whole."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import replacing_folder, set_aside
from mmtoolkit.base.words import error_text
from mmtoolkit.training.averaging import MovingAverage
from mmtoolkit.training.weights import KEPT, WEIGHTS, load_weights, to_bytes

_AVERAGE, _BEST = "average.safetensors", "best.safetensors"


def _folder(run: Path) -> Path:
    """The folder of the checkpoint: the one set aside, if a kill came between the two renames of a replacement."""
    folder = run / "checkpoint"
    return folder if folder.exists() else set_aside(folder)


def save_checkpoint(
    run: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    average: nn.Module | None = None,
    best: Mapping[str, Tensor] | None = None,
) -> None:
    """Replace the last checkpoint by weights, optimiser and `state`, which is plain data.

    Args:
        run: the run folder.
        network: the networks in training.
        optimizer: their optimiser.
        state: how far training has come.
        average: the network of their moving average, if there is one.
        best: the best weights so far, if there are any.

    Raises:
        UserError: it cannot be written; the last checkpoint stays.
    """
    with replacing_folder(run / "checkpoint") as new:
        (new / "weights.safetensors").write_bytes(to_bytes(network))
        if average is not None:
            (new / _AVERAGE).write_bytes(to_bytes(average))
        if best is not None:
            (new / _BEST).write_bytes(save(dict(best)))
        packed = io.BytesIO()  # our own write then reports a full disk, as for other files
        torch.save(optimizer.state_dict(), packed)
        (new / "optimizer.pt").write_bytes(packed.getbuffer())
        (new / "state.json").write_text(json.dumps(state, allow_nan=False), encoding="utf-8")


def load_checkpoint(run: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Fill network and optimiser from the checkpoint, and return its state; None if there is no checkpoint.

    The checkpoint may come from another device.

    Raises:
        UserError: the checkpoint is damaged, or an older version wrote it whose networks were arranged otherwise.
    """
    folder = _folder(run)
    if not folder.exists():
        return None
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        older = load_weights(network, folder / "weights.safetensors")
    except Exception as error:  # JSON and the file system raise different ones
        raise _damaged(folder, error) from error
    if older:  # the optimiser counts the parameters in the order of that version
        raise UserError(
            f"{folder}: an older version of mmtoolkit wrote it, and its optimiser does not fit these networks; resume "
            "the run with that version, or train it again"
        )
    try:
        optimizer.load_state_dict(torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True))
    except Exception as error:  # the file system and PyTorch raise different ones
        raise _damaged(folder, error) from error
    return state


def load_average(run: Path, average: MovingAverage, steps: int) -> None:
    """Go on from the checkpoint's average.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        average.load(_folder(run) / _AVERAGE, steps)
    except UserError as error:
        raise _damaged(_folder(run), error) from error


def load_best(run: Path) -> dict[str, Tensor]:
    """The checkpoint's best weights so far. Version 0.1 had them beside the checkpoint alone.

    Raises:
        UserError: they are missing or damaged.
    """
    files = (_folder(run) / _BEST, run / KEPT, run / WEIGHTS)
    try:
        return load_file(next((file for file in files if file.exists()), files[0]))
    except Exception as error:  # safetensors and the file system raise different ones
        raise _damaged(_folder(run), error) from error


def _damaged(folder: Path, error: Exception) -> UserError:
    return UserError(f"{folder}: is damaged: {error_text(error)}; remove it to start again")
