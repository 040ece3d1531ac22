"""Builds the networks of a model, counts their parameters and tests them without data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Model, Network, Unit
from mmtoolkit.components.modality import members_of, modelled_units
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.data.split import Split


def build(model: Model, modalities: Mapping[str, Unit], seed: int | None = None) -> Network:
    """Build the networks of a model over modalities, with initial weights.

    Args:
        model: such as `MVAE(latent_dim=16)`.
        modalities: name -> modality or record, in order. The model gets what is modelled of them.
        seed: the seed of the initial weights. By default they come from PyTorch's default generator.

    Raises:
        UserError: the model does not work with these modalities.
    """
    modelled = modelled_units(modalities)
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed_for("weights", seed))
        try:
            network = model.build(modelled)
        except UserError as error:
            seen = members_of(modelled)
            if not (unseen := ", ".join(name for name in members_of(modalities) if name not in seen)):
                raise
            note = f"model: it is not given {unseen}, where modelled is false; set that to true if it should be"
            raise UserError([*error.faults, note]) from error
    guard_normalisation(network)  # also layers that the model adds to its modalities' networks
    return network


def parameter_counts(network: Network) -> dict[str, int]:
    """The number of parameters: in total, and of the inference networks."""
    inference = {id(p): p for module in network.inference_modules() for p in module.parameters()}
    return {
        "total": sum(p.numel() for p in network.parameters()),
        "inference": sum(p.numel() for p in inference.values()),
    }


@torch.no_grad()
def generated_batch(network: Network, rows: int) -> Batch:
    """A batch that untrained decoders generate: values of the right shapes, without any data.

    Raises:
        UserError: a decoder's distribution does not have the shape that its modality states.
    """
    device = next(network.parameters()).device
    values: dict[str, Tensor] = {}
    for name, unit in network.units.items():  # new decoders, since a model may lack some
        z = torch.randn(rows, network.latent_dim, device=device)
        if network.prior is not None:
            z = network.prior.sample(z)
        p = unit.decoder(network.latent_dim).to(device)(z)
        event = tuple(unit.event_shape())
        if tuple(p.batch_shape) != (rows,) or tuple(p.event_shape) != event:
            raise UserError(
                f"modalities.{name}: its decoder gives a distribution of batch shape {tuple(p.batch_shape)} and event "
                f"shape {tuple(p.event_shape)} for {rows} rows, not ({rows},) and {event}; wrap it in "
                "torch.distributions.Independent, or correct event_shape"
            )
        values |= {of: column.sample() for of, column in network.columns(name, p, network.members[name]).items()}
    return Batch.of_present(rows, values, dict.fromkeys(network.modalities, torch.arange(rows)))


def usable_rows(network: Network, train: Split) -> Tensor:
    """The training rows that the model can use: (n,) int64, ascending.

    Raises:
        UserError: there are none.
    """
    rows = network.usable(train.modelled.present).nonzero().squeeze(1)
    if not len(rows):
        raise UserError(
            f"no training row has what the model learns from ({', '.join(network.inputs)}); "
            "mend the data, hide less by data.supervision where it is set, or choose another model, such as mvae"
        )
    return rows


def unused_rows(network: Network, dataset: Dataset) -> list[str]:
    """A note on the training rows that have some modality but that the model cannot use; empty if there are none."""
    train = dataset.splits["train"]
    present, usable = train.present, network.usable(train.modelled.present)
    unused = int((present.any(1) & ~usable).sum())
    if not unused or not usable.any():
        return []
    return [
        f"{unused:,} of {len(present):,} training rows are not used: they lack some of what the model learns from "
        f"({', '.join(network.inputs)})"
    ]
