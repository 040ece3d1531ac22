"""The JSON beside exported programs: how cells become tensors, and what each program reads and returns."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from mmtoolkit.components import Network
from mmtoolkit.export.programs import Program, Tensors
from mmtoolkit.export.slots import Slot
from mmtoolkit.schema.schema import Schema

FORMAT = "mmtoolkit-export-1"
_MISSING = (
    "{mask}[row, place] is false where a row lacks a modality, with the place of each modality below; its value may "
    "then be any number, NaN included. A row without anything gets the prior."
)


def manifest_of(schema: Schema, network: Network, slots: Mapping[str, Slot], mask: Slot) -> dict[str, Any]:
    """What is true of all programs of a run; the caller adds `programs` and `not_exported`."""
    return {
        "format": FORMAT,
        "mmtoolkit": version("mmtoolkit"),
        "run": schema.name,
        "model": schema.model.kind,
        "latent_dim": network.latent_dim,
        "shared": [network.shared.start, network.shared.stop],
        "prior": _prior(network),
        "modalities": {
            name: {
                "kind": modality.kind,
                "unit": next(unit for unit, members in network.members.items() if name in members),
                "place": place,
                "shape": list(slots[name].shape),
                "dtype": _named(slots[name].dtype),
                "columns": list(modality.source_columns(name)),
                **modality.layout(),
                "options": modality.model_dump(mode="json", exclude={"network"}),
            }
            for place, (name, modality) in enumerate(network.modalities.items())
        },
        "missing": _MISSING.format(mask=mask.name),
    }


def entry_of(program: Program, outputs: Tensors, files: Mapping[str, str]) -> dict[str, Any]:
    """What a program reads and returns, and its files: format -> name."""
    return {
        "files": dict(files),
        "inputs": [_tensor(slot.name, ["rows", *slot.shape], slot.dtype) for slot in program.inputs],
        "outputs": [_tensor(name, ["rows", *x.shape[1:]], x.dtype) for name, x in outputs.items()],
    }


def _tensor(name: str, shape: list[Any], dtype: torch.dtype) -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": _named(dtype)}


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@torch.no_grad()
def _prior(network: Network) -> dict[str, Any] | None:
    if network.prior is None:
        return None
    moments = {"mean": network.prior.mean, "variance": network.prior.variance}
    return {"class": type(network.prior).__name__, **{name: x.tolist() for name, x in moments.items()}}
