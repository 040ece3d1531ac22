"""Saves and loads the weights of a network as safetensors files, never by pickle."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor, contiguous_format, nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_text, listing
from mmtoolkit.training.renamed_weights import renamed

_LISTED = 3


class WeightsError(UserError):
    """A file of weights belongs to other networks. `faults` says which tensors it lacks, or has in another shape."""


WEIGHTS = "weights.safetensors"
"""The file of a run's weights: the best so far in training, and the network's own end in a finished run."""
KEPT = "kept.safetensors"
"""The file of the weights that training keeps. It is there if `Network.end` changed them."""


def to_bytes(network: nn.Module) -> bytes:
    """Parameters and persistent buffers as a safetensors file. A tensor with several names is stored once."""
    return save({name: tensor.detach().contiguous() for name, tensor in _stored(network).items()})


def copied(network: nn.Module) -> dict[str, Tensor]:
    """A copy of what `to_bytes` writes, in memory: `safetensors.torch.save` makes the same file of it."""
    return {name: tensor.detach().clone(memory_format=contiguous_format) for name, tensor in _stored(network).items()}


def load_weights(network: nn.Module, path: Path) -> bool:
    """Fill the network from a safetensors file.

    Returns:
        Whether an older version wrote the file, under other names.

    Raises:
        WeightsError: the file belongs to another network.
        UserError: the file is missing or damaged.
    """
    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors and the file system raise different ones
        raise UserError(f"{path}: is missing or damaged: {error_text(error)}; train the run again") from error
    own = network.state_dict()
    named = renamed(tensors, own)
    if fault := misfit(named, network):
        raise WeightsError(f"{path}: does not fit these networks: {fault}; train the run again")
    network.load_state_dict(named, strict=False)  # a tensor with several names stands in the file under one
    return named.keys() != tensors.keys()


def _stored(network: nn.Module) -> dict[str, Tensor]:
    """Name -> parameter or persistent buffer; one with several names has its first."""
    persistent = network.state_dict().keys()
    tensors = chain(network.named_parameters(), network.named_buffers())
    return {name: tensor for name, tensor in tensors if name in persistent}


def misfit(tensors: Mapping[str, Tensor], network: nn.Module) -> str:
    """What the network lacks among these tensors, what it does not have, and what has another shape; empty if all fit.

    A tensor with several names may have any of them.
    """
    own = network.state_dict(keep_vars=True)
    there = {id(own[name]) for name in tensors if name in own}
    lacking = [name for name, tensor in _stored(network).items() if id(tensor) not in there]
    unknown = [name for name in tensors if name not in own]
    shapes = [
        f"{name} has the shape {tuple(tensor.shape)} and should have {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and own[name].shape != tensor.shape
    ]
    parts = [
        f"it lacks {listing(lacking, _LISTED)}" if lacking else "",
        f"it has {listing(unknown, _LISTED)}, which they have not" if unknown else "",
        listing(shapes, _LISTED) if shapes else "",
    ]
    return "; ".join(filter(None, parts))
