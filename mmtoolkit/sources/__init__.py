"""The sources that ship with mmtoolkit."""

from mmtoolkit.sources.celeba import CELEBA_ATTRIBUTES, CelebA
from mmtoolkit.sources.celeba_vision import CelebAVision
from mmtoolkit.sources.idx import MNIST, FashionMini, FashionMNIST, IdxSource
from mmtoolkit.sources.multimnist import MultiMNIST

__all__ = [
    "CELEBA_ATTRIBUTES",
    "MNIST",
    "CelebA",
    "CelebAVision",
    "FashionMNIST",
    "FashionMini",
    "IdxSource",
    "MultiMNIST",
]
