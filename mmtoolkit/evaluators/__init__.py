"""The evaluators that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl
from mmtoolkit.evaluators.classifier import Classifier
from mmtoolkit.evaluators.coherence import Coherence
from mmtoolkit.evaluators.elbo import Elbo
from mmtoolkit.evaluators.frechet import Frechet
from mmtoolkit.evaluators.imputation import Imputation
from mmtoolkit.evaluators.latent import Latent
from mmtoolkit.evaluators.log_likelihood import LogLikelihood
from mmtoolkit.evaluators.prdc import Prdc
from mmtoolkit.evaluators.prediction import Prediction

__all__ = [
    "Classifier",
    "Coherence",
    "Elbo",
    "Frechet",
    "Imputation",
    "Latent",
    "LogLikelihood",
    "Prdc",
    "Prediction",
]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The evaluators that ship with mmtoolkit."""
    return [Classifier, Coherence, Elbo, Frechet, Imputation, Latent, LogLikelihood, Prdc, Prediction]
