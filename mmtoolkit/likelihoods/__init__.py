"""The likelihoods that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl
from mmtoolkit.likelihoods.bernoulli import BernoulliLikelihood
from mmtoolkit.likelihoods.categorical import CategoricalLikelihood
from mmtoolkit.likelihoods.continuous_bernoulli import ContinuousBernoulliLikelihood
from mmtoolkit.likelihoods.location_scale import (
    GaussianLikelihood,
    LaplaceLikelihood,
    LognormalLikelihood,
    StudentTLikelihood,
)
from mmtoolkit.likelihoods.ordinal import OrdinalLikelihood
from mmtoolkit.likelihoods.tokens import TokensDistribution

__all__ = [
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "ContinuousBernoulliLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "LognormalLikelihood",
    "OrdinalLikelihood",
    "StudentTLikelihood",
    "TokensDistribution",
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
        CategoricalLikelihood,
        OrdinalLikelihood,
    ]
