"""A network's weights, in safetensors files: nothing is ever unpickled."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from safetensors.torch import load_model, save
from torch import nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text


def to_bytes(network: nn.Module) -> bytes:
    """Parameters and persistent buffers as a safetensors file; a tensor with several names is stored once."""
    kept = network.state_dict().keys()
    named = chain(network.named_parameters(), network.named_buffers())
    return save({name: tensor.detach().contiguous() for name, tensor in named if name in kept})


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill the network from a safetensors file.

    Raises:
        UserError: the file is not there, is damaged, or is of another network.
    """
    try:
        load_model(network, str(path))
    except Exception as error:  # safetensors, the file system and PyTorch each have their own
        raise UserError(
            f"{path}: does not fit these networks or is damaged: {error_text(error)}; train the run again"
        ) from error
