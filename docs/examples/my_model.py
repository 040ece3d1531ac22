"""A plugin with a model, trained on the joint term alone, and an evaluator of predictive densities."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch

from mmtoolkit import (
    Batch,
    Component,
    Evaluator,
    Gaussian,
    Model,
    Network,
    Run,
    Scores,
    Step,
    Terms,
    TermsNetwork,
    Unit,
    hookimpl,
    product_of_experts,
    supports,
)


class Joint(Model):
    """A product of experts trained on the ELBO of everything a row has, without sub-sampled terms."""

    kind: Literal["joint"] = "joint"

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        return JointNetwork(modalities, self.latent_dim)


class JointNetwork(TermsNetwork):
    """The networks of a `Joint` model."""

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior(self, batch: Batch, given: frozenset[str]) -> Gaussian:
        """The product of the prior and the experts of the given units that a row has: (B, D)."""
        visible = batch.only(self.flat(given))
        members = self.there(visible).T[None].to(batch.device)  # (1, U, B)
        return product_of_experts(self.experts(visible), members)[0]

    def terms(self, step: Step) -> Terms:
        """One: each row draws z once, and reconstructs everything that it has."""
        return Terms(self.posterior(step.visible, frozenset(self.units)), step.once())


class Density(Evaluator):
    """log p(target | z) at the mean of q(z | all others), in nats."""

    kind: Literal["density"] = "density"

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result a modality, over the rows that have it and any other, or all that its decoder reads."""
        results: list[dict[str, Any]] = []
        notes = []
        needed = [place for place, name in enumerate(run.modalities) if name in run.model.conditions]
        for place, name in enumerate(run.modalities):
            given = [other for other in run.modalities if other != name]
            if name not in run.model.targets or not supports(run.model.subsets(), given):
                notes.append(f"left out: {name}: the model does not infer it from all others")
                continue
            found = []
            for batch in run.batches(split):
                rows = batch.present[:, place] & (batch.present.sum(1) > 1) & batch.present[:, needed].all(1)
                if rows.any():
                    z = run.model.infer(batch, given).mean
                    found.append(run.model.log_prob(z, batch, [name])[name].cpu()[rows])
            values = torch.cat(found) if found else torch.zeros(0)
            value = values.mean().item() if len(values) else None
            results.append(
                {"target": [name], "given": given, "better": "high", "value": value, "examples": len(values)}
            )
        return Scores(results, notes=notes)


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [Joint, Density]
