"""The components of mmtoolkit itself, registered as any plugin's are."""

from __future__ import annotations

from collections.abc import Iterable

from mmtoolkit.components import Component
from mmtoolkit.evaluators import Classifier, Elbo, LogLikelihood, Prediction
from mmtoolkit.hookspecs import hookimpl
from mmtoolkit.models import CVAE, JMVAE, MVAE, VAE, BiVCCA
from mmtoolkit.sources import MNIST, CelebA, CelebAVision, FashionMini, FashionMNIST, MultiMNIST


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The sources, models and evaluators that ship with mmtoolkit."""
    return [
        MNIST,
        FashionMNIST,
        FashionMini,
        MultiMNIST,
        CelebA,
        CelebAVision,
        MVAE,
        VAE,
        CVAE,
        BiVCCA,
        JMVAE,
        Classifier,
        Elbo,
        LogLikelihood,
        Prediction,
    ]
