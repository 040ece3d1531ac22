"""The sources that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl
from mmtoolkit.sources.arrays import Arrays
from mmtoolkit.sources.celeba import CELEBA_ATTRIBUTES, CelebA
from mmtoolkit.sources.celeba_vision import CelebAVision
from mmtoolkit.sources.huggingface import HuggingFace
from mmtoolkit.sources.idx import MNIST, FashionMini, FashionMNIST, IdxSource
from mmtoolkit.sources.multimnist import MultiMNIST
from mmtoolkit.sources.polymnist import PolyMNIST
from mmtoolkit.sources.table import TableSource

__all__ = [
    "CELEBA_ATTRIBUTES",
    "MNIST",
    "Arrays",
    "CelebA",
    "CelebAVision",
    "FashionMNIST",
    "FashionMini",
    "HuggingFace",
    "IdxSource",
    "MultiMNIST",
    "PolyMNIST",
    "TableSource",
]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The sources that ship with mmtoolkit."""
    return [
        MNIST,
        FashionMNIST,
        FashionMini,
        MultiMNIST,
        PolyMNIST,
        CelebA,
        CelebAVision,
        TableSource,
        Arrays,
        HuggingFace,
    ]
