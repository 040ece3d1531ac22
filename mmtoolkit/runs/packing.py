"""Packs a finished run: a small folder to pass on, with weights in half precision and no paths of this machine."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import replacing_folder, write_json
from mmtoolkit.base.locations import CARD
from mmtoolkit.base.score_names import entry_name
from mmtoolkit.base.yaml12 import write_yaml
from mmtoolkit.catalogue.models import HalfPrecision, ModelCard, is_packed
from mmtoolkit.components import Network
from mmtoolkit.components.means import MeanWithError
from mmtoolkit.runs.folder import TO_USE, read_data, read_finished_record
from mmtoolkit.runs.portable import PortableData, without_paths
from mmtoolkit.training.weights import WEIGHTS, copied

if TYPE_CHECKING:
    from mmtoolkit.runs.trained import TrainedRun

_ROWS_AT_ONCE = 500
_DIGITS = 6


def pack_run(run: TrainedRun, out: Path, overwrite: bool = False) -> ModelCard:
    """Write a folder that all commands read as the run, and nothing is written to; see `TrainedRun.pack`."""
    check_pack(out, overwrite)
    folder = run.own_folder
    if is_packed(folder):
        raise UserError(f"{folder}: is packed already; copy the folder")
    record, results = read_finished_record(folder), run.results
    weights = half_weights(run.model)
    data = PortableData(run.schema.data)
    card = ModelCard(
        schema_name=run.schema.name,
        model=run.schema.model.kind,
        epochs=results["training"]["epochs"],
        rows=read_data(folder)["splits"]["train"]["rows"],
        licence=data.licence,
        scores=dict(_telling(results["scores"])),
        half_precision=_cost(run, weights, run.default_split()),
    )
    schema = run.schema.model_copy(update={"data": data.source})
    with replacing_folder(out) as new:
        for name in TO_USE:
            shutil.copyfile(folder / name, new / name)
        (new / WEIGHTS).write_bytes(save(weights))
        (new / "schema.yaml").write_text(schema.to_yaml(), encoding="utf-8")
        write_json(new / "run.json", {**record, **without_paths(record, data)})
        (new / CARD).write_text(write_yaml(card.model_dump(by_alias=True)), encoding="utf-8")
    return card


def _telling(scores: Sequence[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    """The names and values of the scores whose target was not given, which say what the model is good for."""
    for score in scores:
        for result in score["results"]:
            if result.get("value") is not None and not set(result["target"]) & set(result["given"]):
                yield entry_name(result), round(result["value"], _DIGITS)


def check_pack(out: Path, overwrite: bool) -> None:
    """Check what does not depend on the run, before it is loaded.

    Raises:
        UserError: the folder is there already, and you did not ask to replace it or it holds no packed run.
    """
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise UserError(f"{out}: is there already; give --overwrite to replace it, or write elsewhere with --out")
    if not is_packed(out):
        raise UserError(f"{out}: holds no packed run, so --overwrite does not replace it; write elsewhere with --out")


def half_weights(network: nn.Module) -> dict[str, Tensor]:
    """What `to_bytes` stores, on the host: parameters in half precision, buffers such as running means as they are.

    Raises:
        UserError: a parameter has a value that half precision cannot hold.
    """
    parameters = {name for name, parameter in network.named_parameters() if parameter.is_floating_point()}
    weights = {
        name: tensor.cpu().half() if name in parameters else tensor.cpu() for name, tensor in copied(network).items()
    }
    largest = torch.finfo(torch.half).max
    faults = [
        f"weights of {name}: half precision holds no value above {largest:,.0f}; pass on the run folder itself"
        for name, tensor in weights.items()
        if name in parameters and not tensor.isfinite().all()
    ]
    if faults:
        raise UserError(faults)
    return weights


@torch.no_grad()
def _cost(run: TrainedRun, weights: Mapping[str, Tensor], split: str) -> HalfPrecision:
    """The mean bound of the usable rows of a split by the run's weights and by others, with the same noise."""
    other: Network = copy.deepcopy(run.model)
    other.load_state_dict(dict(weights), strict=False)  # a tensor with several names stands under one
    full, half, loss = MeanWithError(), MeanWithError(), MeanWithError()
    generator = run.generator
    for batch in run.dataset.split(split).modelled.batches(_ROWS_AT_ONCE, run.device):
        noise = torch.randn(batch.size, run.model.latent_dim, generator=generator, device=run.device)
        usable = run.model.usable(batch.present).to(run.device)
        before, after = (network.bound(batch, noise)[usable].double() for network in (run.model, other))
        for mean, values in ((full, before), (half, after), (loss, before - after)):
            mean.update(values)
    if not full.rows:
        raise UserError(
            f"{run.folder}: the model can use no row of {split}, so what half precision costs cannot be measured; pass "
            "on the run folder itself"
        )
    cost = loss.compute()
    return HalfPrecision(
        split=split,
        rows=full.rows,
        full=round(full.mean, _DIGITS),
        half=round(half.mean, _DIGITS),
        loss=round(loss.mean, _DIGITS),
        stderr=None if cost["stderr"] is None else round(cost["stderr"], _DIGITS),
    )
