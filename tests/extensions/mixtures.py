"""A model whose posterior is a mixture: each modality alone, and all together."""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch

from mmtoolkit import (
    Batch,
    Component,
    Gaussian,
    Mixture,
    Model,
    Network,
    Step,
    Terms,
    TermsNetwork,
    Unit,
    hookimpl,
    product_of_experts,
)


class AloneOrAll(Model):
    """A mixture, in equal shares, of the expert of each modality that a row has and of the product of them all.

    Trained on the evidence lower bound, by one draw a row from the mixture.
    """

    kind: Literal["alone_or_all"] = "alone_or_all"

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        """Encoders and decoders for these modalities."""
        return AloneOrAllNetwork(modalities, self.latent_dim)


class AloneOrAllNetwork(TermsNetwork):
    """The networks of this model. All decoders run once."""

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior(self, batch: Batch, given: frozenset[str]) -> Mixture:
        """The mixture over what a row has of the given: (B, D)."""
        visible = batch.only(self.flat(given))
        there = self.there(visible).T.to(batch.device)  # (U, B)
        experts = self.experts(visible)  # (U, B, D)
        together = product_of_experts(experts, there.unsqueeze(0), prior=False)  # (1, B, D); N(0, I) of nothing
        return Mixture.equal(Gaussian.joined([experts, together]), torch.cat([there, torch.ones_like(there[:1])]))

    def terms(self, step: Step) -> Terms:
        """One draw a row from the mixture, which reconstructs all that the row has."""
        return Terms(self.posterior(step.visible, frozenset(self.units)), step.once())


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [AloneOrAll]
