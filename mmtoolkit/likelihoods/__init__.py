"""The likelihoods that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl
from mmtoolkit.likelihoods.bernoulli import BernoulliLikelihood
from mmtoolkit.likelihoods.categorical import CategoricalLikelihood
from mmtoolkit.likelihoods.location_scale import GaussianLikelihood, LaplaceLikelihood, StudentTLikelihood
from mmtoolkit.likelihoods.tokens import TokensDistribution

__all__ = [
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "StudentTLikelihood",
    "TokensDistribution",
]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The likelihoods that ship with mmtoolkit."""
    return [BernoulliLikelihood, GaussianLikelihood, LaplaceLikelihood, StudentTLikelihood, CategoricalLikelihood]
