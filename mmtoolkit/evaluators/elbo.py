"""The evidence lower bound."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt

from mmtoolkit.components import Network, Run, Scores
from mmtoolkit.components.entries import Entry, EntryEvaluator, described, priorless, scored_rows
from mmtoolkit.components.means import MeanWithError
from mmtoolkit.evaluators.progress import metered_batches


class Elbo(EntryEvaluator[Entry]):
    """E_q(z | given)[log p(target | z)] - KL(q(z | given) || p(z)), in nats, with λ = β = 1.

    The default entries are each modality from itself, a record from all its columns, and all targets of the model from
    all its inputs. A row counts if it has any target and any of the given. Its missing modalities are left out;
    `incomplete` counts such rows.
    """

    kind: Literal["elbo"] = "elbo"

    samples: PositiveInt = 1
    """Draws of z a row."""

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result for each entry: {target, given, better, value, stderr, examples, incomplete}."""
        alone = [Entry(target=names, given=names) for names in run.model.members.values()]
        everything = [Entry(target=run.model.targets, given=run.model.inputs)]
        entries, notes = self.chosen(alone + everything, run.model)
        notes = self.unmodelled_notes(run) + notes
        means = [MeanWithError() for _ in entries]
        incomplete = [0] * len(entries)
        generator = run.generator
        for batch in metered_batches(run, split, self.kind):
            noise = torch.randn(self.samples, batch.size, run.model.latent_dim, generator=generator, device=run.device)
            for place, entry in enumerate(entries):
                scored, partial = scored_rows(batch, entry, run.model.conditions)
                incomplete[place] += int(partial.sum())
                if not scored.any():
                    continue
                q = run.model.infer(batch, entry.given)
                bound = torch.zeros(batch.size, device=run.device)
                for draw in noise:  # one at a time: memory does not grow with samples
                    log_probs = run.model.log_prob(q.rsample(draw), batch, entry.target)
                    bound = bound + sum(log_probs.values(), start=-run.model.need_prior().kl(q, draw)) / self.samples
                means[place].update(bound[scored.to(bound.device)])
        return Scores(
            [
                described(entry, better="high", **mean.compute(), incomplete=lacking)
                for entry, mean, lacking in zip(entries, means, incomplete, strict=True)
            ],
            notes=notes,
        )

    def cannot(self, entry: Entry, model: Network) -> str:
        """Why a model cannot be scored by an entry; empty if it can."""
        return priorless(model) or super().cannot(entry, model)
