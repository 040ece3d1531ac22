"""Samplers: priors that are fitted after training to the z of the training rows, for better draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network, Run
from mmtoolkit.components.evaluator import seen_by_model
from mmtoolkit.components.fitted import fingerprint_of, keep_fitted, read_fitted
from mmtoolkit.core.prior import PriorModule
from mmtoolkit.priors.fitted_mixture import FittedMixture, fit_mixture

FOLDER = "samplers"
"""The folder of a run folder that has their numbers."""

_VERSION = 1  # of the way that samplers are fitted: raise it when that changes, and old files are fitted again
_MOST_ROWS = 20_000
_ROWS_AT_ONCE = 500


def check_sampler(model: Network, place: str) -> None:
    """Raise if no sampler can draw for a model.

    Args:
        model: the networks.
        place: what asks for the sampler, with which the error begins.

    Raises:
        UserError: the model has no p(z) that the sampler could stand for.
    """
    if model.prior is None:
        raise UserError(f"{place}: this model has no p(z), so there is nothing to draw without a given; remove it")


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws z: its shared part from what was fitted, the rest from the model's prior.

    Args:
        model: the networks, which have a prior.
        fitted: the prior over the shared part of z.
        notes: what the user should know of the fit.
    """

    model: Network
    fitted: PriorModule
    notes: tuple[str, ...] = ()

    def sample(self, noise: Tensor) -> Tensor:
        """A draw for each of `noise` (..., D), standard normal: (..., D)."""
        shared, prior = self.model.shared, self.model.prior
        assert prior is not None  # `check_sampler` sees to it
        z = prior.sample(noise).clone()
        z[..., shared] = self.fitted.sample(noise[..., shared]).to(z.dtype)
        return z


def sampler_of(run: Run, kind: Literal["mixture"], components: int, place: str) -> Sampler:
    """The sampler of a run: a mixture of Gaussians, fitted to one draw of q(z | all that a row has) a training row.

    It is fitted to at most 20,000 rows, drawn at random. Its numbers are kept in the folder `samplers` of the run
    folder, if it holds a run, and read from there as long as the weights and the rows stay the same.

    Args:
        run: has the model and the data.
        kind: of sampler.
        components: the number of Gaussians.
        place: what asks for it, with which an error begins.

    Raises:
        UserError: the model has no p(z), scikit-learn is not installed, or there are fewer rows than components.
    """
    check_sampler(run.model, place)
    rows = _informed_rows(run)
    path = run.folder / FOLDER / f"{kind}_{components}.safetensors"
    mark = fingerprint_of(run.model, f"{_VERSION} {run.generator.initial_seed()}", rows.numpy().tobytes())
    notes: list[str] = []
    if (numbers := read_fitted(path, mark)) is not None:
        mixture = FittedMixture(**numbers).eval()
    else:
        run.say(f"sampler {kind}: fits {components} Gaussians to the z of {len(rows):,} training rows")
        z = _draws(run, rows)
        mixture, notes = fit_mixture(z, components, seed_for("sampler", run.generator.initial_seed()), place)
        notes += keep_fitted(run.folder, path, mixture.state_dict(), mark)
    return Sampler(run.model, mixture.to(run.device), tuple(notes))


def _informed_rows(run: Run) -> Tensor:
    """The training rows that z can be inferred from, at most so many: (n,) int64, ascending, on the host."""
    rows = run.model.informed(seen_by_model(run, "train")).nonzero().squeeze(1)
    generator = torch.Generator().manual_seed(seed_for("sampler rows", run.generator.initial_seed()))
    return rows[torch.randperm(len(rows), generator=generator)[:_MOST_ROWS]].sort().values


def _draws(run: Run, rows: Tensor) -> Tensor:
    """One draw of the shared part of z for each row: (n, S), on the host."""
    generator, draws = run.generator, []
    with torch.no_grad():
        for batch in run.batches("train", rows.split(_ROWS_AT_ONCE)):
            noise = torch.randn(batch.size, run.model.latent_dim, generator=generator, device=run.device)
            draws.append(run.model.infer_all(batch).rsample(noise)[..., run.model.shared].cpu())
    return torch.cat(draws) if draws else torch.zeros(0, run.model.latent_dim)
