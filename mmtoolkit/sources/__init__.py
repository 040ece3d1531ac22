"""The sources that ship with mmtoolkit."""

from mmtoolkit.sources.arrays import Arrays
from mmtoolkit.sources.celeba import CELEBA_ATTRIBUTES, CelebA
from mmtoolkit.sources.celeba_vision import CelebAVision
from mmtoolkit.sources.huggingface import HuggingFace
from mmtoolkit.sources.idx import MNIST, FashionMini, FashionMNIST, IdxSource
from mmtoolkit.sources.multimnist import MultiMNIST
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
    "TableSource",
]
