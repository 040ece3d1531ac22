"""Saves and loads the weights of a network as safetensors files, never by pickle."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from safetensors.torch import load_model, save
from torch import nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text


def to_bytes(network: nn.Module) -> bytes:
    """Parameters and persistent buffers as a safetensors file. A tensor with several names is stored once."""
    persistent = network.state_dict().keys()
    tensors = chain(network.named_parameters(), network.named_buffers())
    return save({name: tensor.detach().contiguous() for name, tensor in tensors if name in persistent})


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill the network from a safetensors file.

    Raises:
        UserError: the file is missing, damaged, or belongs to another network.
    """
    try:
        load_model(network, str(path))
    except Exception as error:  # safetensors, the file system and PyTorch raise different ones
        raise UserError(
            f"{path}: does not fit these networks or is damaged: {error_text(error)}; train the run again"
        ) from error
