"""The sources that ship with mmtoolkit."""

from mmtoolkit.sources.idx import MNIST, FashionMini, FashionMNIST, IdxSource

__all__ = ["MNIST", "FashionMNIST", "FashionMini", "IdxSource"]
