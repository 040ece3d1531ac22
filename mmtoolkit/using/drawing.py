"""Draws values of every modality from a run: z from p(z), a sampler or q(z | given), decoded."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError, warn
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network, Run
from mmtoolkit.core.batch import Batch
from mmtoolkit.priors.samplers import sampler_of


def check_conditions(model: Network, batch: Batch, kind: str) -> None:
    """Raise a `UserError` if a row lacks a modality that the model, of this kind, decodes given."""
    if unmet := [name for name in model.conditions if len(batch.rows(name)) < batch.size]:
        fault = f"this {kind} decodes {', '.join(model.targets)} given {', '.join(unmet)}"
        raise UserError(f"{fault}; give a value of {unmet[0]} too")


@torch.no_grad()
def draw_values(
    run: Run,
    batch: Batch,
    given: Collection[str],
    n: int,
    seed: int,
    sampler: Literal["mixture"] | None = None,
    components: int = 10,
) -> dict[str, Tensor]:
    """Draw z n times and decode every modality, as `TrainedRun.sample` says.

    Args:
        run: the trained run.
        batch: one row, with what is given.
        given: what z is inferred from.
        n: how many draws.
        seed: fixes the draws.
        sampler: what stands for the prior. By default the prior itself.
        components: the number of Gaussians of the sampler.

    Returns:
        name -> (n, *event).
    """
    model = run.model
    generator = torch.Generator(run.device).manual_seed(seed_for("sample", seed))
    noise = torch.randn(n, 1, model.latent_dim, generator=generator, device=run.device)
    if sampler is None:
        z = model.infer(batch, given).rsample(noise).flatten(0, 1)
    else:
        if known := [name for name in given if name not in model.conditions]:
            raise UserError(
                f"sampler {sampler}: z is inferred from {known[0]} where it is given; leave out one of them"
            )
        fitted = sampler_of(run, sampler, components, f"sampler {sampler}")
        warn(fitted.notes)
        z = fitted.sample(noise.flatten(0, 1))
    decoded = model.decode(z, batch, model.targets)
    values = {}
    for name, modality in model.modalities.items():
        value = modality.point(decoded[name]) if name in decoded else None
        if len(known_value := batch.value(name)):
            known_value = known_value.expand(n, *known_value.shape[1:])
            value = known_value if value is None else modality.filled(known_value, value)
        if value is not None:
            values[name] = value
    return values
