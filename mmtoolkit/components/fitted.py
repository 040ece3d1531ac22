"""Files of what is fitted after training, such as classifiers for scores, kept in the run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder, replacing
from mmtoolkit.base.locations import CARD

_KEY = "fingerprint"


def fingerprint_of(model: nn.Module, options: str, rows: bytes = b"") -> str:
    """What follows from a model's weights depends on, as text of a fixed length: options, weights and rows."""
    digest = hashlib.sha256(options.encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    digest.update(rows)
    return digest.hexdigest()


def read_fitted(path: Path, fingerprint: str) -> dict[str, Tensor] | None:
    """The tensors of a file, on the host; None if it is not there, is damaged, or was fitted to something else."""
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get(_KEY) != fingerprint:
                return None
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None


def keep_fitted(folder: Path, path: Path, tensors: Mapping[str, Tensor], fingerprint: str) -> list[str]:
    """Write tensors to a file whole or not at all, if the folder holds a run; a note if it cannot be written.

    Nothing is written to the folder of a packed run.

    Args:
        folder: the run folder.
        path: the file in it.
        tensors: by name.
        fingerprint: a digest of all that they follow from; `read_fitted` asks for it.
    """
    if not (folder / "schema.yaml").exists() or (folder / CARD).exists():
        return []
    try:
        make_folder(path.parent)
        with replacing(path) as new:
            new.write_bytes(
                save({key: value.cpu().contiguous() for key, value in tensors.items()}, {_KEY: fingerprint})
            )
    except UserError as error:
        return [f"what was fitted is not kept, and is fitted again next time: {error}"]
    return []
