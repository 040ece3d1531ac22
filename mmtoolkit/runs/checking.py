"""The work of `mmt check`: it reads the data, builds the networks and tries one step, but does not train."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import ByName
from mmtoolkit.data.dataset import Dataset, prepare
from mmtoolkit.data.summary import summary
from mmtoolkit.schema.schema import Schema
from mmtoolkit.training.listeners import check_watchers
from mmtoolkit.training.networks import build, generated_batch, parameter_counts, unused_rows, usable_rows
from mmtoolkit.training.validation import check_schedule, validation_rows

_ROWS = 4


def _unreadable(fault: UserError) -> Iterator[list[Any]]:
    """Cells of data that cannot be read: reading one raises its fault."""

    def read() -> list[Any]:
        raise fault

    return iter(read, None)


def _size(networks: ByName, name: str) -> int:
    """The number of parameters of a unit's network; 0 if the model has none for it."""
    return sum(p.numel() for p in networks.of(name).parameters()) if name in networks.names else 0


def check(schema: Schema, report: Callable[[str], None]) -> tuple[dict[str, Any], UserError | None]:
    """Check a schema: what `mmt check` prints, and the data's fault if it has one.

    You get shapes and parameter counts without the data too, unless a modality must learn an option from it.

    Raises:
        UserError: the networks or a watcher cannot be built, or a modality must learn from data that has a fault.
    """
    check_watchers(schema.train.watch)
    dataset: Dataset | None = None
    fault: UserError | None = None
    try:
        dataset = prepare(schema.data, schema.units, schema.at, report)
        schema = schema.with_learned(dataset.source, dataset.modalities)
    except UserError as error:
        for modality in schema.modalities.values():
            modality.fit(_unreadable(error))
        fault = error
    answer: dict[str, Any] = {"name": schema.name}
    if dataset is not None:
        answer |= summary(dataset)
    network = build(schema.model, schema.units, schema.train.seed)
    for evaluator in schema.evaluate:
        evaluator.check_modalities(schema.modalities)
        evaluator.check_model(network)
    if dataset is not None:
        usable_rows(network, dataset.splits["train"])
        check_schedule(schema.train, validation_rows(network, dataset), schema.at("train", "schedule"))
        answer["notes"] = [*dataset.notes, *unused_rows(network, dataset)]
    with torch.random.fork_rng():
        batch = generated_batch(network, _ROWS)
        network.train()
        loss, terms = network(batch)
        loss.backward()
    for name, modality in network.modalities.items():
        x = batch.value(name)
        modality.scores(x, x)
        modality.text(x[0])
    if not torch.isfinite(loss):
        raise UserError(
            f"model: the loss of the first step is {loss.item()} (its parts are {', '.join(terms)}); "
            "mend the component that computes it"
        )
    answer["modalities"] = {
        name: {
            "kind": modality.kind,
            "modelled": name in network.modalities,
            "shape": list(modality.event_shape()),
        }
        for name, modality in schema.modalities.items()
    }
    answer["units"] = {
        name: {
            "kind": unit.kind,
            "modalities": list(unit.members(name)),
            "encoder": _size(network.encoders, name),
            "decoder": _size(network.decoders, name),
        }
        for name, unit in schema.units.items()
    }
    answer["latent_dim"] = network.latent_dim
    answer["shared_dim"] = network.shared.stop - network.shared.start
    answer["terms"] = list(terms)
    answer["parameters"] = parameter_counts(network)
    return answer, fault
