"""The components of mmtoolkit itself, registered as any plugin's are."""

from __future__ import annotations

from collections.abc import Iterable

from mmtoolkit.components import Component
from mmtoolkit.evaluators import Classifier, Elbo, Imputation, LogLikelihood, Prediction
from mmtoolkit.hookspecs import hookimpl
from mmtoolkit.models import CVAE, JMVAE, MVAE, VAE, BiVCCA
from mmtoolkit.sources import (
    MNIST,
    Arrays,
    CelebA,
    CelebAVision,
    FashionMini,
    FashionMNIST,
    HuggingFace,
    MultiMNIST,
    TableSource,
)


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
        TableSource,
        Arrays,
        HuggingFace,
        MVAE,
        VAE,
        CVAE,
        BiVCCA,
        JMVAE,
        Classifier,
        Elbo,
        Imputation,
        LogLikelihood,
        Prediction,
    ]
