"""The sources that ship with mmtoolkit."""

from mmtoolkit.sources.idx import FashionMini, FashionMNIST, IdxSource, MNIST

__all__ = ["MNIST", "FashionMNIST", "FashionMini", "IdxSource"]
