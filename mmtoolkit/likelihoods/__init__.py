"""The likelihoods that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl
from mmtoolkit.likelihoods.bernoulli import BernoulliLikelihood
from mmtoolkit.likelihoods.categorical import CategoricalLikelihood
from mmtoolkit.likelihoods.continuous_bernoulli import ContinuousBernoulliLikelihood
from mmtoolkit.likelihoods.counts import CountLikelihood, NegativeBinomialLikelihood, PoissonLikelihood
from mmtoolkit.likelihoods.location_scale import (
    GaussianLikelihood,
    LaplaceLikelihood,
    LognormalLikelihood,
    StudentTLikelihood,
)
from mmtoolkit.likelihoods.ordinal import OrdinalLikelihood
from mmtoolkit.likelihoods.tokens import TokensDistribution
from mmtoolkit.likelihoods.von_mises import VonMisesLikelihood

__all__ = [
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "ContinuousBernoulliLikelihood",
    "CountLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "LognormalLikelihood",
    "NegativeBinomialLikelihood",
    "OrdinalLikelihood",
    "PoissonLikelihood",
    "StudentTLikelihood",
    "TokensDistribution",
    "VonMisesLikelihood",
]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The likelihoods that ship with mmtoolkit."""
    return [
        BernoulliLikelihood,
        ContinuousBernoulliLikelihood,
        GaussianLikelihood,
        LaplaceLikelihood,
        StudentTLikelihood,
        LognormalLikelihood,
        PoissonLikelihood,
        NegativeBinomialLikelihood,
        VonMisesLikelihood,
        CategoricalLikelihood,
        OrdinalLikelihood,
    ]
