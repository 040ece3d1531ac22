"""Log-likelihoods of rows, and of each cell given the rest of its row."""

from __future__ import annotations

import torch
from torch import Tensor

from mmtoolkit.components import Network
from mmtoolkit.components.entries import undecoded
from mmtoolkit.components.modality import Modality
from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import point_of
from mmtoolkit.evaluators.estimates import MeanEstimate
from mmtoolkit.evaluators.importance import FEW, MEMORY, estimate, estimate_left_out, left_out


class CellScorer:
    """Computes how likely a model finds rows, and each known cell given the rest of its row.

    Args:
        model: in evaluation mode.
        samples: K, draws of z for each row, and for each cell.
        generator: for the draws, on the model's device.
    """

    def __init__(self, model: Network, samples: int, generator: torch.Generator) -> None:
        self.model, self.samples, self.generator = model, samples, generator
        self.memory = MEMORY[generator.device.type]
        self.faults = {name: fault for name in model.modalities if (fault := _cannot(name, model))}
        """Modality -> why its cells have no score."""
        self.names = [name for name in model.modalities if name not in self.faults]
        """The modalities whose cells have a score."""
        self.alone = 0
        """How many cells have no score, as their row has nothing else to infer z from."""
        self.unready = 0
        """How many rows have no score, as they lack a condition of the model."""
        self.mean = MeanEstimate(samples)
        """Of the log-likelihoods of rows."""

    def likelihoods(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log p of all that each row has and the model decodes, and its standard error: (B,) each, nats, on the host.

        NaN stands for a row without such a cell, or without a condition of the model; and for all rows if it has no
        p(z).
        """
        values, errors = torch.full((2, batch.size), torch.nan, dtype=torch.float64)
        ready = self._ready(batch)
        self.unready += int((~ready).sum())
        decoded = torch.tensor([name in self.model.targets for name in batch.names])
        rows = (ready & batch.present[:, decoded].any(1)).nonzero().squeeze(1)
        if self.model.prior is not None and len(rows):
            part, targets = batch.take(rows), self.model.targets
            [of_rows] = estimate(self.model, part, None, [targets], self.samples, self.generator, self.memory)
            self.mean.update(of_rows)
            values[rows], errors[rows] = of_rows.log_p, of_rows.stderr(self.samples)
        return values, errors

    def cells(self, batch: Batch) -> dict[str, Tensor]:
        """Log p of each cell given the rest of its row: name -> (B,), nats, on the host, NaN without a score."""
        scores = {}
        for name in self.names:
            scores[name] = torch.full((batch.size,), torch.nan, dtype=torch.float64)
            known = torch.zeros(batch.size, dtype=torch.bool)
            known[batch.rows(name)] = True
            known &= self._ready(batch)
            scored = known & self._informed(batch, name)
            self.alone += int((known & ~scored).sum())
            if len(rows := scored.nonzero().squeeze(1)):
                part = batch.take(rows)
                left = estimate_left_out(self.model, part, name, self.samples, self.generator, self.memory)
                scores[name][rows] = left.log_p
        return scores

    @torch.no_grad()
    def expected(self, batch: Batch, name: str) -> list[str]:
        """What the model predicts of a modality from the rest of each row, as texts: (B,).

        All rows and calls have the same noise, so that a prediction does not depend on which others are asked for.
        """
        model = self.model
        rest = batch.only([other for other in model.modalities if other != name])
        q = model.infer(rest, left_out(model, name))
        (unit,) = model.touched([name])
        draws = model.pooled_draws(unit)
        z = point_of(q)
        if draws > 1:
            generator = torch.Generator(z.device).manual_seed(self.generator.initial_seed())
            noise = torch.randn(draws, 1, *z.shape[1:], generator=generator, dtype=z.dtype, device=z.device)
            z = q.rsample(noise.expand(draws, *z.shape)).flatten(0, 1)
        p, modality = model.decode(z, rest, [name])[name], model.modalities[name]
        values = modality.pooled(p, draws) if draws > 1 else modality.point(p)
        return [text_of(modality, value) for value in values.cpu()]

    def notes(self, likelihoods: bool = True) -> list[str]:
        """Lines for the user about what has no score, and how far to trust the log-likelihoods.

        Args:
            likelihoods: whether the user sees the log-likelihoods.
        """
        notes = [f"left out: {name}: {fault}" for name, fault in self.faults.items()]
        if self.alone:
            notes.append(f"cells without a score, since their rows have nothing else to infer z from: {self.alone:,}")
        if self.unready:
            notes.append(f"rows without a score, since they lack {', '.join(self.model.conditions)}: {self.unready:,}")
        if likelihoods and self.model.prior is None:
            notes.append("log_likelihood is empty, since the model has no p(z)")
        if likelihoods and (poor := self.mean.compute()["poor"]):
            least = f"{min(FEW, self.samples / 2):g}"
            notes.append(
                f"effective sample size under {least} in {poor:.0%} of the rows: their log_likelihood is a bound "
                "rather than an estimate; draw more with --samples, or in Python samples"
            )
        return notes

    def _ready(self, batch: Batch) -> Tensor:
        """Which rows have all conditions of the model: (B,) bool, on the host."""
        return batch.present[:, [batch.names.index(name) for name in self.model.conditions]].all(1)

    def _informed(self, batch: Batch, name: str) -> Tensor:
        """Of which rows the model knows anything but this modality: (B,) bool, on the host. Conditions say enough."""
        if self.model.conditions:
            return torch.ones(batch.size, dtype=torch.bool)
        seen = batch.present & torch.tensor([other != name for other in batch.names])
        return self.model.told(seen, left_out(self.model, name))


def text_of(modality: Modality, value: Tensor) -> str:
    """One value (*event) as a short text: four digits of a number."""
    cell = modality.cell(value)
    return f"{cell:.4g}" if isinstance(cell, float) else modality.text(value)


def _cannot(name: str, model: Network) -> str:
    """Why a model gives the cells of a modality no score, in words; empty if it does."""
    if name in model.conditions:
        return f"the model decodes given {name}"
    if fault := undecoded([name], model):
        return fault
    others = torch.tensor([[other != name for other in model.modalities]])
    if not model.conditions and not model.told(others, left_out(model, name)).any():
        return f"the model infers z only from {name}, so there is no rest of the row"
    return ""
